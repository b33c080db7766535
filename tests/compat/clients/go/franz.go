package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// franz is twmb/franz-go, which speaks the newest version of everything that the broker lists.
type franz struct{ bootstrap string }

func newFranz(bootstrap string) Client { return &franz{bootstrap} }

func (f *franz) client(options ...kgo.Opt) (*kgo.Client, error) {
	return kgo.NewClient(append(options, kgo.SeedBrokers(f.bootstrap), kgo.FetchMaxWait(100*time.Millisecond))...)
}

func within() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}

func (f *franz) Metadata() (Metadata, error) {
	client, err := f.client()
	if err != nil {
		return Metadata{}, err
	}
	defer client.Close()
	ctx, cancel := within()
	defer cancel()
	found, err := kadm.NewClient(client).Metadata(ctx)
	out := Metadata{Topics: map[string]int{}}
	for _, broker := range found.Brokers {
		out.Brokers = append(out.Brokers, fmt.Sprintf("%s:%d", broker.Host, broker.Port))
	}
	for name, topic := range found.Topics {
		out.Topics[name] = len(topic.Partitions)
	}
	return out, err
}

func (f *franz) Create(topic string, partitions int32) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := within()
	defer cancel()
	_, err = kadm.NewClient(client).CreateTopic(ctx, partitions, 1, nil, topic)
	return err
}

func (f *franz) admin(use func(context.Context, *kadm.Client) error) error {
	client, err := f.client()
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := within()
	defer cancel()
	return use(ctx, kadm.NewClient(client))
}

func (f *franz) Grow(topic string, partitions int32) error {
	return f.admin(func(ctx context.Context, admin *kadm.Client) error {
		done, err := admin.UpdatePartitions(ctx, int(partitions), topic)
		if err != nil {
			return err
		}
		return done[topic].Err
	})
}

func (f *franz) Delete(topic string) error {
	return f.admin(func(ctx context.Context, admin *kadm.Client) error {
		_, err := admin.DeleteTopic(ctx, topic)
		return err
	})
}

func (f *franz) Configs(topic string) (map[string]string, error) {
	out := map[string]string{}
	return out, f.admin(func(ctx context.Context, admin *kadm.Client) error {
		found, err := admin.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return err
		}
		for _, config := range found[0].Configs {
			out[config.Key] = config.MaybeValue()
		}
		return found[0].Err
	})
}

func (f *franz) Configure(topic, name, value string) error {
	return f.admin(func(ctx context.Context, admin *kadm.Client) error {
		change := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: name, Value: &value}}
		done, err := admin.AlterTopicConfigs(ctx, change, topic)
		if err != nil {
			return err
		}
		return done[0].Err
	})
}

// asked sends a record to the partition that it names, or where the library's own partitioner says.
func asked() kgo.Partitioner {
	own := kgo.StickyKeyPartitioner(nil)
	return kgo.BasicConsistentPartitioner(func(topic string) func(*kgo.Record, int) int {
		of := own.ForTopic(topic)
		return func(record *kgo.Record, n int) int {
			if record.Partition >= 0 {
				return int(record.Partition)
			}
			return of.Partition(record, n)
		}
	})
}

func (f *franz) Produce(topic string, records []Record, options Options) error {
	acks := map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()}[options.Acks]
	codec := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}[options.Codec]
	settings := []kgo.Opt{
		kgo.RequiredAcks(acks), kgo.ProducerBatchCompression(codec), kgo.RecordPartitioner(asked()),
		kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(20),
	}
	if !options.Idempotent {
		settings = append(settings, kgo.DisableIdempotentWrite())
	}
	client, err := f.client(settings...)
	if err != nil {
		return err
	}
	defer client.Close()
	var batch []*kgo.Record
	for _, r := range records {
		record := &kgo.Record{Topic: topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			record.Headers = append(record.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
		}
		batch = append(batch, record)
	}
	ctx, cancel := within()
	defer cancel()
	return client.ProduceSync(ctx, batch...).FirstErr()
}

func fromFranz(r *kgo.Record) Record {
	record := Record{r.Partition, r.Offset, r.Timestamp.UnixMilli(), r.Key, r.Value, nil}
	for _, h := range r.Headers {
		record.Headers = append(record.Headers, Header{h.Key, h.Value})
	}
	return record
}

func (f *franz) Consume(topic string, partition int32, start Start, count int) ([]Record, error) {
	offset := kgo.NewOffset().At(start.At)
	if start.Earliest {
		offset = kgo.NewOffset().AtStart()
	} else if start.IsTime {
		offset = kgo.NewOffset().AfterMilli(start.At)
	}
	settings := []kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {partition: offset}})}
	if start.Only {
		settings = append(settings, kgo.ConsumeResetOffset(kgo.NoResetOffset()))
	}
	client, err := f.client(settings...)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	ctx, cancel := within()
	defer cancel()
	var records []Record
	for len(records) < count {
		fetches := client.PollRecords(ctx, count-len(records))
		if err := fetches.Err(); err != nil {
			return records, err
		}
		fetches.EachRecord(func(r *kgo.Record) { records = append(records, fromFranz(r)) })
	}
	return records, nil
}

type franzMember struct {
	*gathered
	client *kgo.Client
	ended  chan struct{}
}

func (f *franz) Join(group, topic string, options Membership) (Member, error) {
	m := &franzMember{gathered: newGathered(), ended: make(chan struct{})}
	changed := func(mine bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(ctx context.Context, client *kgo.Client, partitions map[string][]int32) {
			if !mine && options.CommitsOnRevoke {
				if err := client.CommitUncommittedOffsets(ctx); err != nil {
					m.fail(err)
				}
			}
			m.own(partitions[topic], mine)
		}
	}
	settings := []kgo.Opt{
		kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200 * time.Millisecond),
		kgo.SessionTimeout(session), kgo.BlockRebalanceOnPoll(), // what was polled is gathered before it is taken away
		kgo.OnPartitionsAssigned(changed(true)), kgo.OnPartitionsRevoked(changed(false)), kgo.OnPartitionsLost(changed(false)),
	}
	if !options.Cooperative { // which is what it does by default
		settings = append(settings, kgo.Balancers(kgo.RangeBalancer()))
	}
	if options.Instance != "" {
		settings = append(settings, kgo.InstanceID(options.Instance))
	}
	client, err := f.client(settings...)
	if err != nil {
		return nil, err
	}
	m.client = client
	go func() {
		defer close(m.ended)
		for {
			fetches := client.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			fetches.EachError(func(_ string, _ int32, err error) {
				if !errors.Is(err, context.Canceled) {
					m.fail(err)
				}
			})
			fetches.EachRecord(func(r *kgo.Record) { m.add(fromFranz(r)) })
			client.AllowRebalance()
		}
	}()
	return m, nil
}

func (m *franzMember) Poll() (Moment, error) { return m.take() }

func (m *franzMember) Commit() error {
	ctx, cancel := within()
	defer cancel()
	return m.client.CommitUncommittedOffsets(ctx)
}

func (m *franzMember) Leave() error {
	m.client.CloseAllowingRebalance()
	<-m.ended
	return nil
}
