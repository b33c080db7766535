package main

import (
	"context"
	"errors"
	"time"

	"github.com/IBM/sarama"
)

// shopify is IBM/sarama (once Shopify's), at the level of Kafka 2.8, which is what it takes by default.
type shopify struct{ bootstrap string }

func newSarama(bootstrap string) Client { return &shopify{bootstrap} }

func (s *shopify) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V2_8_0_0
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Return.Errors = true
	config.Producer.Return.Successes = true
	return config
}

func (s *shopify) Metadata() (Metadata, error) {
	client, err := sarama.NewClient([]string{s.bootstrap}, s.config())
	if err != nil {
		return Metadata{}, err
	}
	defer client.Close()
	out := Metadata{Topics: map[string]int{}}
	for _, broker := range client.Brokers() {
		out.Brokers = append(out.Brokers, broker.Addr())
	}
	topics, err := client.Topics()
	for _, topic := range topics {
		partitions, wrong := client.Partitions(topic)
		err = errors.Join(err, wrong)
		out.Topics[topic] = len(partitions)
	}
	return out, err
}

func (s *shopify) Create(topic string, partitions int32) error {
	admin, err := sarama.NewClusterAdmin([]string{s.bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer admin.Close()
	return admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1}, false)
}

func (s *shopify) admin(use func(sarama.ClusterAdmin) error) error {
	admin, err := sarama.NewClusterAdmin([]string{s.bootstrap}, s.config())
	if err != nil {
		return err
	}
	defer admin.Close()
	return use(admin)
}

func (s *shopify) Grow(topic string, partitions int32) error {
	return s.admin(func(admin sarama.ClusterAdmin) error {
		return admin.CreatePartitions(topic, partitions, nil, false)
	})
}

func (s *shopify) Delete(topic string) error {
	return s.admin(func(admin sarama.ClusterAdmin) error { return admin.DeleteTopic(topic) })
}

func (s *shopify) Configs(topic string) (map[string]string, error) {
	out := map[string]string{}
	return out, s.admin(func(admin sarama.ClusterAdmin) error {
		found, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
		for _, config := range found {
			out[config.Name] = config.Value
		}
		return err
	})
}

func (s *shopify) Configure(topic, name, value string) error {
	return s.admin(func(admin sarama.ClusterAdmin) error {
		change := map[string]sarama.IncrementalAlterConfigsEntry{
			name: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
		}
		return admin.IncrementalAlterConfig(sarama.TopicResource, topic, change, false)
	})
}

// asked keeps the partition that a record names; -1 leaves it to the library's own partitioner.
type askedPartitioner struct{ own sarama.Partitioner }

func (p askedPartitioner) Partition(message *sarama.ProducerMessage, count int32) (int32, error) {
	if message.Partition >= 0 {
		return message.Partition, nil
	}
	return p.own.Partition(message, count)
}

func (p askedPartitioner) RequiresConsistency() bool { return true }

func encoded(octets []byte) sarama.Encoder {
	if octets == nil {
		return nil
	}
	return sarama.ByteEncoder(octets)
}

func (s *shopify) Produce(topic string, records []Record, options Options) error {
	config := s.config()
	config.Producer.RequiredAcks = map[string]sarama.RequiredAcks{
		"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll,
	}[options.Acks]
	config.Producer.Compression = map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[options.Codec]
	config.Producer.Idempotent = options.Idempotent
	config.Net.MaxOpenRequests = 1
	config.Producer.Partitioner = func(topic string) sarama.Partitioner {
		return askedPartitioner{sarama.NewHashPartitioner(topic)}
	}
	producer, err := sarama.NewSyncProducer([]string{s.bootstrap}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for _, r := range records {
		message := &sarama.ProducerMessage{Topic: topic, Partition: r.Partition, Key: encoded(r.Key), Value: encoded(r.Value)}
		for _, h := range r.Headers {
			message.Headers = append(message.Headers, sarama.RecordHeader{Key: []byte(h.Name), Value: h.Value})
		}
		messages = append(messages, message)
	}
	err = producer.SendMessages(messages)
	var each sarama.ProducerErrors
	if errors.As(err, &each) { // it tells their number only
		return each[0].Err
	}
	return err
}

func fromSarama(m *sarama.ConsumerMessage) Record {
	record := Record{m.Partition, m.Offset, m.Timestamp.UnixMilli(), m.Key, m.Value, nil}
	for _, h := range m.Headers {
		record.Headers = append(record.Headers, Header{string(h.Key), h.Value})
	}
	return record
}

func (s *shopify) Consume(topic string, partition int32, start Start, count int) ([]Record, error) {
	config := s.config()
	config.Metadata.AllowAutoTopicCreation = !start.Only
	client, err := sarama.NewClient([]string{s.bootstrap}, config)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	offset := start.At
	if start.Earliest {
		offset = sarama.OffsetOldest
	} else if start.IsTime {
		if offset, err = client.GetOffset(topic, partition, start.At); err != nil {
			return nil, err
		}
	}
	consumer, err := sarama.NewConsumerFromClient(client)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	reader, err := consumer.ConsumePartition(topic, partition, offset)
	if err != nil {
		return nil, err
	}
	defer reader.AsyncClose()
	deadline := time.After(patience)
	var records []Record
	for len(records) < count {
		select {
		case message := <-reader.Messages():
			records = append(records, fromSarama(message))
		case err := <-reader.Errors():
			return records, err
		case <-deadline:
			return records, errors.New("the records did not come in time")
		}
	}
	return records, nil
}

type saramaMember struct {
	*gathered
	group  sarama.ConsumerGroup
	cancel context.CancelFunc
	ended  chan struct{}
	commit chan chan struct{}
	onLoss bool // commit when partitions are taken
}

func (s *shopify) Join(group, topic string, options Membership) (Member, error) {
	config := s.config()
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	config.Consumer.Group.Session.Timeout = session
	config.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	config.Consumer.Group.InstanceId = options.Instance
	made, err := sarama.NewConsumerGroup([]string{s.bootstrap}, group, config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &saramaMember{newGathered(), made, cancel, make(chan struct{}), make(chan chan struct{}), options.CommitsOnRevoke}
	go func() {
		for err := range made.Errors() {
			m.fail(err)
		}
	}()
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil { // each generation of the group is one call
			if err := made.Consume(ctx, []string{topic}, m); err != nil && !errors.Is(err, sarama.ErrClosedConsumerGroup) {
				m.fail(err)
				return
			}
		}
	}()
	return m, nil
}

func (m *saramaMember) Setup(session sarama.ConsumerGroupSession) error {
	for _, partitions := range session.Claims() {
		m.own(partitions, true)
	}
	go func() { // commits belong to a generation
		for {
			select {
			case done := <-m.commit:
				session.Commit()
				close(done)
			case <-session.Context().Done():
				return
			}
		}
	}()
	return nil
}

func (m *saramaMember) Cleanup(session sarama.ConsumerGroupSession) error {
	if m.onLoss {
		session.Commit()
	}
	for _, partitions := range session.Claims() {
		m.own(partitions, false)
	}
	return nil
}

func (m *saramaMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, open := <-claim.Messages():
			if !open {
				return nil
			}
			m.add(fromSarama(message))
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *saramaMember) Poll() (Moment, error) { return m.take() }

func (m *saramaMember) Commit() error {
	done := make(chan struct{})
	select {
	case m.commit <- done:
		<-done
		return nil
	case <-m.ended:
	case <-time.After(patience):
	}
	return errors.New("no generation to commit in")
}

func (m *saramaMember) Leave() error {
	m.cancel()
	<-m.ended
	return m.group.Close()
}
