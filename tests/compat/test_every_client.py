"""What every stock client must be able to do, on both listeners. What one alone can do is in that client's file."""

import secrets
import time

import pytest
from clients import Record
from raw import create_topic
from support.server import wait_for

PARTITIONS = 4


UNKNOWN_TOPIC = "(?i)unknown.?topic|does not (exist|host this)"


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
    # Kafka's new topic has a moment in which some send again what is there already.
    assert set(plain(member.records)) == set(plain(records))


@pytest.mark.creates_topics
def test_delete_topic__is_gone_and_an_error_the_second_time(client, ready):
    client.delete_topic(ready)
    wait_for(lambda: ready not in client.metadata()["topics"], what="the end of the topic")
    with pytest.raises(Exception, match=UNKNOWN_TOPIC):
        client.delete_topic(ready)


@pytest.mark.has_configs
def test_configs__changed_value_is_told_and_acts(client, ready):
    assert client.configs(ready)["max.message.bytes"] == "1048588"
    client.configure(ready, "max.message.bytes", "2000")
    wait_for(lambda: client.configs(ready)["max.message.bytes"] == "2000", what="the new value")
    with pytest.raises(Exception, match="(?i)too.?large|larger than|larger.*max"):
        client.produce(ready, [Record(secrets.token_hex(2000).encode())])
    client.produce(ready, numbered(3))
    assert plain(client.consume(ready, 0, "earliest", 3)) == plain(numbered(3))


@pytest.mark.has_configs
@pytest.mark.tells_config_faults
def test_configs__wrong_input(client, ready):
    with pytest.raises(Exception, match="(?i)invalid.?(config|value)|configuration is invalid"):
        client.configure(ready, "max.message.bytes", "many")
    with pytest.raises(Exception, match=UNKNOWN_TOPIC):
        client.configs(ready + "-absent")


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_produce__acks(client, ready, acks):
    client.produce(ready, numbered(20), acks=acks)
    assert plain(client.consume(ready, 0, "earliest", 20)) == plain(numbered(20))


def test_produce__codec(client, other, ready, codec):
    records = [Record(b"value %d " % i + b"abc" * 200, b"key %d" % i) for i in range(50)]
    written_and_read(client, other, ready, records, codec=codec)
    assert plain(client.consume(ready, 0, "earliest", 50)) == plain(records)


def test_produce__headers_and_nulls(client, other, ready):
    records = [
        Record(b"value", b"key", (("empty", b""), ("trace", b"0123"))),  # rskafka sorts them by name
        Record(b"value", None),
        Record(None, b"key"),
        Record(b"last", b"key"),
    ]
    written_and_read(client, other, ready, records)
    assert plain(client.consume(ready, 0, "earliest", 4)) == plain(records)


def test_produce__large_record(client, other, ready):
    record = Record(secrets.token_hex(450_000).encode(), b"large")
    written_and_read(client, other, ready, [record])
    assert plain(client.consume(ready, 0, "earliest", 1)) == plain([record])


def test_wrong_input__a_record_beyond_the_limit_of_its_topic(client, bootstrap, topic):
    """The limit is the topic's, so that the broker refuses it, not the client. What fits goes on."""
    create_topic(bootstrap, topic, 1, {"max.message.bytes": "2000"})
    with pytest.raises(Exception, match="(?i)too.?large|larger than|larger.*max"):
        client.produce(topic, [Record(secrets.token_hex(2000).encode())])
    client.produce(topic, numbered(3))
    assert plain(client.consume(topic, 0, "earliest", 3)) == plain(numbered(3))


def test_produce__idempotent(client, ready):
    for first in (0, 100):  # the second time with another producer id
        client.produce(ready, numbered(100, first), idempotent=True)
    assert plain(client.consume(ready, 0, "earliest", 200)) == plain(numbered(200))


def test_consume__from_an_offset(client, ready):
    client.produce(ready, numbered(10))
    read = client.consume(ready, 0, 6, 4)
    assert [r.offset for r in read] == [6, 7, 8, 9]
    assert plain(read) == plain(numbered(4, 6))


def test_consume__from_a_timestamp(client, ready):
    begun = time.time() * 1000
    for first in (0, 3, 6):
        client.produce(ready, numbered(3, first))
        time.sleep(0.02)  # so that the next three carry a later millisecond
    read = client.consume(ready, 0, "earliest", 9)
    assert all(begun - 1 <= r.timestamp <= time.time() * 1000 + 1 for r in read)
    later = client.consume(ready, 0, ("time", read[3].timestamp), 6)
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
def test_group__join_rebalance_leave_commit_resume(client, ready):
    group, everything = "group-" + ready, set(range(PARTITIONS))

    def spread(first):
        return [Record(b"value %d" % i, b"key %d" % i, partition=i % PARTITIONS) for i in range(first, first + 8)]

    client.produce(ready, spread(0))

    one = client.join(group, ready)
    poll_until(
        [one], lambda: one.assignment == everything and len(one.records) == 8, "all records at the only member"
    )
    assert sorted(plain(one.records)) == sorted(plain(spread(0)))
    one.commit()

    two = client.join(group, ready)
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

    client.produce(ready, spread(8))
    three = client.join(group, ready)
    poll_until([three], lambda: len(three.records) >= 8, "what was not committed")
    three.leave()
    assert sorted(plain(three.records)) == sorted(plain(spread(8)))
