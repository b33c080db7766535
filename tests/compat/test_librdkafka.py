"""confluent-kafka: the newest librdkafka."""

import subprocess
import time

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.server import wait_for


def consumer(bootstrap, group, **more):
    return Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "session.timeout.ms": 6000,
            "heartbeat.interval.ms": 500,
            **more,
        }
    )


def produce(bootstrap, topic, values, partition=0, **more):
    producer = Producer({"bootstrap.servers": bootstrap, **more})
    seen = []
    for value in values:
        producer.produce(topic, value, partition=partition, on_delivery=lambda e, m: seen.append((e, m.offset())))
    assert producer.flush(30) == 0
    assert [e for e, _ in seen if e] == []
    return [o for _, o in seen]


def take(c, count, timeout=30):
    got, end = [], time.monotonic() + timeout
    while len(got) < count and time.monotonic() < end:
        message = c.poll(0.5)
        if message is not None and not message.error():
            got.append(message)
    assert len(got) == count, f"{len(got)} of {count}"
    return got


def test_admin__create_describe_delete(bootstrap, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(20)
    assert len(admin.list_topics(topic, timeout=10).topics[topic].partitions) == 3
    with pytest.raises(KafkaException) as again:
        admin.create_topics([NewTopic(topic, 3, 1)])[topic].result(20)
    assert again.value.args[0].name() == "TOPIC_ALREADY_EXISTS"
    admin.delete_topics([topic])[topic].result(20)
    wait_for(lambda: topic not in admin.list_topics(timeout=10).topics, what="the deletion")


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_idempotent__offsets_are_contiguous(bootstrap, topic, codec):
    offsets = produce(
        bootstrap,
        topic,
        [f"v{i}" for i in range(2000)],
        **{"enable.idempotence": True, "compression.type": codec, "linger.ms": 2},
    )
    assert offsets == list(range(2000))
    c = consumer(bootstrap, topic)
    c.assign([TopicPartition(topic, 0, 0)])
    assert [m.value().decode() for m in take(c, 2000)] == [f"v{i}" for i in range(2000)]
    c.close()


def test_seek__by_offset_and_time(bootstrap, topic):
    produce(bootstrap, topic, ["old"])
    time.sleep(0.05)
    middle = int(time.time() * 1000)
    time.sleep(0.05)
    produce(bootstrap, topic, ["new"])
    c = consumer(bootstrap, topic)
    (found,) = c.offsets_for_times([TopicPartition(topic, 0, middle)], timeout=20)
    assert found.offset == 1
    assert c.get_watermark_offsets(TopicPartition(topic, 0), timeout=20) == (0, 2)
    c.assign([TopicPartition(topic, 0, 1)])
    assert take(c, 1)[0].value() == b"new"
    c.close()


def test_group__members_share_leave_and_resume(bootstrap, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, 4, 1)])[topic].result(20)
    for p in range(4):
        produce(bootstrap, topic, [f"{p}-{i}" for i in range(10)], p)
    a, b = consumer(bootstrap, "g" + topic), consumer(bootstrap, "g" + topic)
    a.subscribe([topic])
    wait_for(lambda: a.poll(0.1) or len(a.assignment()) == 4, what="all partitions at the first member")
    b.subscribe([topic])

    def shared():
        a.poll(0.1), b.poll(0.1)
        return len(a.assignment()) == 2 and len(b.assignment()) == 2

    wait_for(shared, 40, "two partitions each")
    b.close()
    wait_for(lambda: (a.poll(0.1), len(a.assignment()) == 4)[1], 40, "all partitions again")
    a.commit(offsets=[TopicPartition(topic, p, 5) for p in range(4)], asynchronous=False)
    a.close()
    c = consumer(bootstrap, "g" + topic)
    c.subscribe([topic])
    rest = sorted(m.value().decode() for m in take(c, 20))
    assert rest == sorted(f"{p}-{i}" for p in range(4) for i in range(5, 10))
    c.close()


def test_group__crashed_member_is_replaced(bootstrap, topic):
    """A member that is killed neither commits nor leaves: its session ends and another takes over."""
    produce(bootstrap, topic, ["x"] * 4)
    member = subprocess.Popen(
        [
            "kcat",
            "-b",
            bootstrap,
            "-G",
            "d" + topic,
            "-q",
            "-X",
            "auto.offset.reset=earliest",
            "-X",
            "session.timeout.ms=6000",
            "-X",
            "enable.auto.commit=false",
            "-u",
            topic,
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert member.stdout.readline() == b"x\n"
    member.kill()
    member.wait()
    alive = consumer(bootstrap, "d" + topic)
    alive.subscribe([topic])
    assert len(take(alive, 4, 40)) == 4
    alive.close()


@pytest.mark.parametrize("strategy", ["range", "roundrobin", "cooperative-sticky"])
def test_group__strategies_and_static_members(bootstrap, topic, strategy):
    produce(bootstrap, topic, ["x"])
    member = consumer(
        bootstrap, strategy + topic, **{"partition.assignment.strategy": strategy, "group.instance.id": "i1"}
    )
    member.subscribe([topic])
    take(member, 1)
    member.commit(asynchronous=False)
    member.close()
    again = consumer(
        bootstrap, strategy + topic, **{"partition.assignment.strategy": strategy, "group.instance.id": "i1"}
    )
    again.subscribe([topic])
    produce(bootstrap, topic, ["y"])
    assert take(again, 1)[0].value() == b"y"
    again.close()


def test_groups__listed_and_described(bootstrap, topic):
    produce(bootstrap, topic, ["x"])
    member = consumer(bootstrap, "l" + topic)
    member.subscribe([topic])
    take(member, 1)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    listed = admin.list_consumer_groups().result(20)
    assert "l" + topic in [g.group_id for g in listed.valid]
    described = admin.describe_consumer_groups(["l" + topic])["l" + topic].result(20)
    assert described.state.name == "STABLE" and len(described.members) == 1
    member.close()
    wait_for(
        lambda: admin.describe_consumer_groups(["l" + topic])["l" + topic].result(20).state.name == "EMPTY",
        what="Empty",
    )
    admin.delete_consumer_groups(["l" + topic])["l" + topic].result(20)


def test_wrong_input__unknown_topic_and_offset(bootstrap, topic):
    admin = AdminClient({"bootstrap.servers": bootstrap})
    with pytest.raises(KafkaException) as wrong:
        admin.create_topics([NewTopic("no/slash", 1, 1)])["no/slash"].result(20)
    assert wrong.value.args[0].name() == "TOPIC_EXCEPTION"
    produce(bootstrap, topic, ["x"])
    c = consumer(bootstrap, topic, **{"auto.offset.reset": "error"})
    c.assign([TopicPartition(topic, 0, 1000)])
    message = wait_for(lambda: c.poll(1), what="the error")
    assert message.error().name() in ("_AUTO_OFFSET_RESET", "OFFSET_OUT_OF_RANGE")
    c.close()
