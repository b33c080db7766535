"""What every stock client must be able to do, on both listeners. What one alone can do is in that client's file."""

import secrets
import time

import pytest
from clients import Record
from support.server import wait_for

PARTITIONS = 4


def plain(records):
    """What a record carries, without the place it got."""
    return [(r.key, r.value, r.headers) for r in records]


def numbered(count, first=0, partition=0):
    return [Record(b"value %d" % i, b"key %d" % i, partition=partition) for i in range(first, first + count)]


def written_and_read(client, reader, topic, records, **options):
    client.produce(topic, records, **options)
    read = reader.consume(topic, 0, "earliest", len(records))
    assert plain(read) == plain(records)
    assert [r.offset for r in read] == list(range(len(records)))
    return read


def test_metadata__one_broker_where_it_was_reached(client, topic):
    client.produce(topic, numbered(1))
    found = client.metadata()
    assert found["brokers"] == [client.bootstrap]
    assert found["topics"][topic] == PARTITIONS


@pytest.mark.creates_topics
def test_create_topic__has_the_partitions_asked_for(client, topic):
    client.create_topic(topic, 3)
    assert wait_for(lambda: client.metadata()["topics"].get(topic), what="the topic") == 3
    client.produce(topic, numbered(2, partition=2))
    assert plain(client.consume(topic, 2, "earliest", 2)) == plain(numbered(2))


@pytest.mark.creates_topics
def test_create_topic__twice_is_an_error(client, topic):
    client.create_topic(topic, 1)
    with pytest.raises(Exception, match="(?i)exists"):
        client.create_topic(topic, 1)


@pytest.mark.groups
def test_first_use__makes_the_topic(client, topic):
    records = [Record(b"value %d" % i, b"key %d" % i, partition=-1) for i in range(8)]
    client.produce(topic, records)
    member = client.join("first-" + topic, topic)
    poll_until([member], lambda: len(member.records) == 8, "eight records")
    member.leave()
    assert sorted(plain(member.records)) == sorted(plain(records))


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_produce__acks(client, topic, acks):
    client.produce(topic, numbered(1))  # makes the topic: with acks=0 nobody hears that it is not there yet
    client.produce(topic, numbered(20, 1), acks=acks)
    assert plain(client.consume(topic, 0, "earliest", 21)) == plain(numbered(21))


def test_produce__codec(client, other, topic, codec):
    records = [Record(b"value %d " % i + b"abc" * 200, b"key %d" % i) for i in range(50)]
    written_and_read(client, other, topic, records, codec=codec)
    assert plain(client.consume(topic, 0, "earliest", 50)) == plain(records)


def test_produce__headers_and_nulls(client, other, topic):
    records = [
        Record(b"value", b"key", (("empty", b""), ("trace", b"0123"))),  # rskafka sorts them by name
        Record(b"value", None),
        Record(None, b"key"),
        Record(b"last", b"key"),
    ]
    written_and_read(client, other, topic, records)
    assert plain(client.consume(topic, 0, "earliest", 4)) == plain(records)


def test_produce__large_record(client, other, topic):
    record = Record(secrets.token_hex(450_000).encode(), b"large")
    written_and_read(client, other, topic, [record])
    assert plain(client.consume(topic, 0, "earliest", 1)) == plain([record])


def test_produce__idempotent(client, topic):
    for first in (0, 100):  # the second time with another producer id
        client.produce(topic, numbered(100, first), idempotent=True)
    assert plain(client.consume(topic, 0, "earliest", 200)) == plain(numbered(200))


def test_consume__from_an_offset(client, topic):
    client.produce(topic, numbered(10))
    read = client.consume(topic, 0, 6, 4)
    assert [r.offset for r in read] == [6, 7, 8, 9]
    assert plain(read) == plain(numbered(4, 6))


def test_consume__from_a_timestamp(client, topic):
    begun = time.time() * 1000
    for first in (0, 3, 6):
        client.produce(topic, numbered(3, first))
        time.sleep(0.02)  # so that the next three carry a later millisecond
    read = client.consume(topic, 0, "earliest", 9)
    assert all(begun - 1 <= r.timestamp <= time.time() * 1000 + 1 for r in read)
    later = client.consume(topic, 0, ("time", read[3].timestamp), 6)
    assert plain(later) == plain(numbered(6, 3))


def poll_until(members, condition, what):
    """Members do their part only while they are polled."""
    end = time.monotonic() + 30
    while not condition():
        seen = [(sorted(member.assignment), len(member.records)) for member in members]
        assert time.monotonic() < end, f"no {what}; partitions and records of the members: {seen}"
        for member in members:
            member.poll()


@pytest.mark.groups
def test_group__join_rebalance_leave_commit_resume(client, topic):
    group, everything = "group-" + topic, set(range(PARTITIONS))

    def spread(first):
        return [Record(b"value %d" % i, b"key %d" % i, partition=i % PARTITIONS) for i in range(first, first + 8)]

    client.produce(topic, spread(0))

    one = client.join(group, topic)
    poll_until(
        [one], lambda: one.assignment == everything and len(one.records) == 8, "all records at the only member"
    )
    assert sorted(plain(one.records)) == sorted(plain(spread(0)))
    one.commit()

    two = client.join(group, topic)
    poll_until(
        [one, two],
        lambda: one.assignment
        and two.assignment
        and one.assignment | two.assignment == everything
        and not one.assignment & two.assignment,
        "both members with a share",
    )
    one.leave()
    poll_until([two], lambda: two.assignment == everything, "the rest for who stayed")
    two.leave()

    client.produce(topic, spread(8))
    three = client.join(group, topic)
    poll_until([three], lambda: len(three.records) >= 8, "what was not committed")
    three.leave()
    assert sorted(plain(three.records)) == sorted(plain(spread(8)))
