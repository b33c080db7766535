"""kafka-python, a protocol implementation of its own."""

import kafka


def test_produce_consume_and_group(bootstrap, topic):
    producer = kafka.KafkaProducer(bootstrap_servers=bootstrap, acks="all")
    sent = [
        producer.send(topic, key=b"k%d" % i, value=b"v%d" % i, headers=[("h", b"1")], partition=0) for i in range(100)
    ]
    assert [s.get(30).offset for s in sent] == list(range(100))
    producer.close()
    reader = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="kp" + topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=15000,
    )
    got = [next(reader) for _ in range(60)]
    assert [m.value for m in got] == [b"v%d" % i for i in range(60)]
    assert got[0].headers == [("h", b"1")]
    tp = kafka.TopicPartition(topic, 0)
    reader.seek(tp, 60)
    reader.commit()
    reader.close()
    again = kafka.KafkaConsumer(
        topic,
        bootstrap_servers=bootstrap,
        group_id="kp" + topic,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        consumer_timeout_ms=15000,
    )
    assert [next(again).value for _ in range(40)] == [b"v%d" % i for i in range(60, 100)]
    again.close()


def test_admin_and_offsets(bootstrap, topic):
    admin = kafka.KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([kafka.admin.NewTopic(topic, 2, 1)])
    assert topic in admin.list_topics()
    admin.close()
    reader = kafka.KafkaConsumer(bootstrap_servers=bootstrap)
    parts = [kafka.TopicPartition(topic, p) for p in (0, 1)]
    assert reader.end_offsets(parts) == {parts[0]: 0, parts[1]: 0}
    reader.close()
