package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
)

// segmentio is segmentio/kafka-go: fixed old versions in its Conn and Reader, newer ones in Client and Writer.
type segmentio struct{ bootstrap string }

func newSegmentio(bootstrap string) Client { return &segmentio{bootstrap} }

func (s *segmentio) client() *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(s.bootstrap), Timeout: patience}
}

func (s *segmentio) Metadata() (Metadata, error) {
	ctx, cancel := within()
	defer cancel()
	found, err := s.client().Metadata(ctx, &kafka.MetadataRequest{})
	if err != nil {
		return Metadata{}, err
	}
	out := Metadata{Topics: map[string]int{}}
	for _, broker := range found.Brokers {
		out.Brokers = append(out.Brokers, fmt.Sprintf("%s:%d", broker.Host, broker.Port))
	}
	for _, topic := range found.Topics {
		out.Topics[topic.Name] = len(topic.Partitions)
	}
	return out, nil
}

func (s *segmentio) Create(topic string, partitions int32) error {
	ctx, cancel := within()
	defer cancel()
	answer, err := s.client().CreateTopics(ctx, &kafka.CreateTopicsRequest{
		Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: int(partitions), ReplicationFactor: 1}},
	})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (s *segmentio) Grow(topic string, partitions int32) error {
	ctx, cancel := within()
	defer cancel()
	answer, err := s.client().CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: partitions}},
	})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (s *segmentio) Delete(topic string) error {
	ctx, cancel := within()
	defer cancel()
	answer, err := s.client().DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	if err != nil {
		return err
	}
	return answer.Errors[topic]
}

func (s *segmentio) Configs(topic string) (map[string]string, error) {
	ctx, cancel := within()
	defer cancel()
	answer, err := s.client().DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic}},
	})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, config := range answer.Resources[0].ConfigEntries {
		out[config.ConfigName] = config.ConfigValue
	}
	return out, answer.Resources[0].Error
}

func (s *segmentio) Configure(topic, name, value string) error {
	ctx, cancel := within()
	defer cancel()
	answer, err := s.client().IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet}},
		}},
	})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (s *segmentio) Produce(topic string, records []Record, options Options) error {
	writer := &kafka.Writer{
		Addr:  kafka.TCP(s.bootstrap),
		Topic: topic,
		Balancer: kafka.BalancerFunc(func(message kafka.Message, partitions ...int) int {
			if partition, given := message.WriterData.(int32); given && partition >= 0 {
				return int(partition)
			}
			return (&kafka.Hash{}).Balance(message, partitions...)
		}),
		RequiredAcks:           map[string]kafka.RequiredAcks{"0": 0, "1": kafka.RequireOne, "all": kafka.RequireAll}[options.Acks],
		Compression:            map[string]kafka.Compression{"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}[options.Codec],
		AllowAutoTopicCreation: true,
		BatchTimeout:           5 * time.Millisecond,
	}
	defer writer.Close()
	var messages []kafka.Message
	for _, r := range records {
		message := kafka.Message{Key: r.Key, Value: r.Value, WriterData: r.Partition}
		for _, h := range r.Headers {
			message.Headers = append(message.Headers, kafka.Header{Key: h.Name, Value: h.Value})
		}
		messages = append(messages, message)
	}
	ctx, cancel := within()
	defer cancel()
	for { // as its own page says: a topic that is being made is an error to try again after
		err := writer.WriteMessages(ctx, messages...)
		if !errors.Is(err, kafka.UnknownTopicOrPartition) && !errors.Is(err, kafka.LeaderNotAvailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(moment):
		}
	}
}

func fromSegmentio(m kafka.Message) Record {
	record := Record{int32(m.Partition), m.Offset, m.Time.UnixMilli(), m.Key, m.Value, nil}
	for _, h := range m.Headers { // an empty value comes out of the library as nil
		record.Headers = append(record.Headers, Header{h.Key, append([]byte{}, h.Value...)})
	}
	return record
}

func (s *segmentio) Consume(topic string, partition int32, start Start, count int) ([]Record, error) {
	ctx, cancel := within()
	defer cancel()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{s.bootstrap}, Topic: topic, Partition: int(partition), MaxWait: 100 * time.Millisecond,
		MaxBytes: 10 << 20, OffsetOutOfRangeError: start.Only,
	})
	defer reader.Close()
	var err error
	if start.Earliest {
		err = reader.SetOffset(kafka.FirstOffset)
	} else if start.IsTime {
		err = reader.SetOffsetAt(ctx, time.UnixMilli(start.At))
	} else {
		err = reader.SetOffset(start.At)
	}
	var records []Record
	for err == nil && len(records) < count {
		var message kafka.Message
		if message, err = reader.ReadMessage(ctx); err == nil {
			records = append(records, fromSegmentio(message))
		}
	}
	return records, err
}

// segmentioMember is a ConsumerGroup, not a Reader: the Reader does not tell which partitions it owns.
type segmentioMember struct {
	*gathered
	group   *kafka.ConsumerGroup
	cancel  context.CancelFunc
	ended   chan struct{}
	mutex   sync.Mutex
	current *kafka.Generation
	next    map[int]int64
}

func (s *segmentio) Join(group, topic string, _ Membership) (Member, error) {
	made, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: group, Brokers: []string{s.bootstrap}, Topics: []string{topic}, StartOffset: kafka.FirstOffset,
		HeartbeatInterval: 200 * time.Millisecond, JoinGroupBackoff: 100 * time.Millisecond,
		SessionTimeout: session,
	})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &segmentioMember{gathered: newGathered(), group: made, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(m.ended)
		for ctx.Err() == nil {
			generation, err := made.Next(ctx)
			if err != nil {
				if ctx.Err() == nil && !errors.Is(err, kafka.ErrGroupClosed) {
					m.fail(err)
				}
				return
			}
			m.mutex.Lock()
			m.current, m.next = generation, map[int]int64{}
			m.mutex.Unlock()
			for _, assigned := range generation.Assignments[topic] {
				generation.Start(func(ctx context.Context) { m.read(ctx, s.bootstrap, topic, assigned) })
			}
		}
	}()
	return m, nil
}

func (m *segmentioMember) read(ctx context.Context, bootstrap, topic string, assigned kafka.PartitionAssignment) {
	m.own([]int32{int32(assigned.ID)}, true)
	defer m.own([]int32{int32(assigned.ID)}, false)
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{bootstrap}, Topic: topic, Partition: assigned.ID, MaxWait: 100 * time.Millisecond,
	})
	defer reader.Close()
	if err := reader.SetOffset(assigned.Offset); err != nil {
		m.fail(err)
		return
	}
	for {
		message, err := reader.ReadMessage(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, io.EOF) && !errors.Is(err, kafka.ErrGenerationEnded) {
				m.fail(err)
			}
			return
		}
		m.add(fromSegmentio(message))
		m.mutex.Lock()
		m.next[assigned.ID] = message.Offset + 1
		m.mutex.Unlock()
	}
}

func (m *segmentioMember) Poll() (Moment, error) { return m.take() }

func (m *segmentioMember) Commit() error {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	offsets := map[int]int64{}
	for partition, offset := range m.next {
		offsets[partition] = offset
	}
	return m.current.CommitOffsets(map[string]map[int]int64{m.topic(): offsets})
}

func (m *segmentioMember) topic() string {
	for topic := range m.current.Assignments {
		return topic
	}
	return ""
}

func (m *segmentioMember) Leave() error {
	m.cancel()
	err := m.group.Close()
	<-m.ended
	return err
}
