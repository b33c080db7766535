"""Topic configs that act: each test changes one and sees what changes."""

import time

import pytest
from raw import batch, call, create_topic, record
from support.server import wait_for


def alter(bootstrap, topic, **configs):
    rows = [
        {
            "resource_type": 2,
            "resource_name": topic,
            "configs": [
                {"name": k.replace("_", "."), "config_operation": 0 if v is not None else 1, "value": v}
                for k, v in configs.items()
            ],
        }
    ]
    answer = call(bootstrap, "IncrementalAlterConfigs", 1, resources=rows, validate_only=False)
    assert answer.responses[0].error_code == 0, answer


def produce(bootstrap, topic, records):
    rows = [{"name": topic, "partition_data": [{"index": 0, "records": records}]}]
    answer = call(bootstrap, "Produce", 9, transactional_id=None, acks=-1, timeout_ms=9000, topic_data=rows)
    return answer.responses[0].partition_responses[0]


def until(bootstrap, topic, records, error):
    """A real Kafka takes a moment until a changed config holds."""

    def answered():
        row = produce(bootstrap, topic, records)
        return row if row.error_code == error else None

    return wait_for(answered, what=f"error {error}")


def fetch(bootstrap, topic, offset=0):
    part = {"partition": 0, "current_leader_epoch": -1, "fetch_offset": offset, "partition_max_bytes": 1 << 20}
    answer = call(
        bootstrap,
        "Fetch",
        11,
        replica_id=-1,
        max_wait_ms=100,
        min_bytes=1,
        max_bytes=1 << 20,
        isolation_level=0,
        session_id=0,
        session_epoch=-1,
        topics=[{"topic": topic, "partitions": [part]}],
        forgotten_topics_data=[],
        rack_id="",
    )
    return bytes(answer.responses[0].partitions[0].records or b"")


def attributes(batch_bytes):
    return int.from_bytes(batch_bytes[21:23], "big")


def test_max_message_bytes(bootstrap, topic):
    create_topic(bootstrap, topic)
    large = batch(1, value=b"x" * 2000)
    assert produce(bootstrap, topic, large).error_code == 0
    alter(bootstrap, topic, max_message_bytes="1000")
    until(bootstrap, topic, large, 10)
    alter(bootstrap, topic, max_message_bytes=None)
    until(bootstrap, topic, large, 0)


def test_message_timestamp_type(bootstrap, topic):
    create_topic(bootstrap, topic)
    assert produce(bootstrap, topic, batch(1, timestamp=1000)).log_append_time_ms == -1
    alter(bootstrap, topic, message_timestamp_type="LogAppendTime")

    def stamped():
        return produce(bootstrap, topic, batch(1, timestamp=1000)).log_append_time_ms > 1000

    wait_for(stamped, what="the broker's time")


HOUR = 3600000


@pytest.mark.parametrize("codec", [0, 1])
@pytest.mark.parametrize("key,far", [("message_timestamp_before_max_ms", -2), ("message_timestamp_after_max_ms", 2)])
def test_message_timestamp_limits(bootstrap, topic, key, far, codec):
    """INVALID_TIMESTAMP, with each record that is to blame; looked for in compressed batches as well."""
    create_topic(bootstrap, topic)
    now = int(time.time() * 1000)
    wide, narrow = str(3 * HOUR), str(HOUR)
    records = packed(3, codec, timestamp=now + far * HOUR)
    alter(bootstrap, topic, **{key: wide})
    until(bootstrap, topic, records, 0)
    alter(bootstrap, topic, **{key: narrow})
    row = until(bootstrap, topic, records, 32)
    assert [e.batch_index for e in row.record_errors] == [0, 1, 2] and row.base_offset == -1
    alter(bootstrap, topic, **{key: wide})
    until(bootstrap, topic, records, 0)


def packed(count, codec, timestamp=None, value=b"v" * 200):
    import gzip

    plain = b"".join(record(i, None, value) for i in range(count))
    body = plain if codec == 0 else gzip.compress(plain)
    timestamp = timestamp or int(time.time() * 1000)
    return batch(count, records=body, attributes=codec, timestamp=timestamp)


@pytest.mark.parametrize("name,number", [("gzip", 1), ("snappy", 2), ("lz4", 3), ("zstd", 4), ("uncompressed", 0)])
def test_compression_type(bootstrap, topic, name, number):
    """Stored by the codec of the topic; producer's own when it says so; readable by a stock consumer."""
    from kafka import KafkaConsumer, TopicPartition

    create_topic(bootstrap, topic)
    sent = 1 if number != 1 else 0
    assert produce(bootstrap, topic, packed(50, sent)).error_code == 0
    assert attributes(fetch(bootstrap, topic)) & 7 == sent
    alter(bootstrap, topic, compression_type=name)

    def stored():
        row = produce(bootstrap, topic, packed(50, sent))
        assert row.error_code == 0
        return attributes(fetch(bootstrap, topic, row.base_offset)) & 7 == number

    wait_for(stored, what=f"a batch stored as {name}")
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=10000, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    values = [m.value for _, m in zip(range(100), consumer)]
    consumer.close()
    assert values == [b"v" * 200] * 100


def test_large_batches_are_compressed_in_order(bootstrap, topic):
    """Batches of one partition that go over the thread keep their order, small ones behind large ones too."""
    from kafka import KafkaConsumer, KafkaProducer, TopicPartition

    create_topic(bootstrap, topic, configs={"compression.type": "zstd"})
    producer = KafkaProducer(bootstrap_servers=bootstrap, linger_ms=0, max_in_flight_requests_per_connection=5)
    for i in range(300):
        producer.send(topic, (b"%06d" % i) + b"x" * (50000 if i % 7 == 0 else 10), partition=0)
    producer.flush()
    producer.close()
    consumer = KafkaConsumer(bootstrap_servers=bootstrap, consumer_timeout_ms=10000, auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    seen = [int(m.value[:6]) for _, m in zip(range(300), consumer)]
    consumer.close()
    assert seen == list(range(300))


def test_cleanup_policy_compact_needs_keys(bootstrap, topic):
    create_topic(bootstrap, topic)
    assert produce(bootstrap, topic, batch(1)).error_code == 0
    alter(bootstrap, topic, cleanup_policy="compact")
    until(bootstrap, topic, batch(1), 87)
    assert produce(bootstrap, topic, batch(1, key=b"k")).error_code == 0
