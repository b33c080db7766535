"""Produce, request by request: what Kafka takes and refuses (G3, G10, G34 to G37, G39, G51 to G53)."""

import gzip
import struct
import time

import pytest
from raw import NO_ID, Closed, Raw, batch, call, crc32c, create_topic, message_set
from support.record_batch import varint

ALL = range(3, 14)


@pytest.fixture(scope="module")
def place(brokers):
    """A topic for the whole file; offsets are compared by differences."""
    import secrets

    name = "produce-" + secrets.token_hex(6)
    return name, create_topic(brokers["external"], name, 2)


@pytest.fixture
def produce(bootstrap, place):
    def send(records, version=9, acks=-1, topic=None, partition=0, topic_id=None, twice=None, timeout_ms=10000):
        entries = [{"index": partition, "records": records}]
        entries += [{"index": partition, "records": twice}] if twice else []
        row = {"partition_data": entries}
        row |= {"topic_id": topic_id or place[1]} if version >= 13 else {"name": topic or place[0]}
        answer = call(
            bootstrap, "Produce", version, transactional_id=None, acks=acks, timeout_ms=timeout_ms, topic_data=[row]
        )
        rows = answer.responses[0].partition_responses
        assert len(rows) == 1
        return rows[0]

    return send


@pytest.mark.parametrize("version", ALL)
def test_every_version_gives_the_next_offset(produce, version):
    first = produce(batch(2), version)
    second = produce(batch(1), version)
    assert (first.error_code, second.error_code) == (0, 0)
    assert second.base_offset == first.base_offset + 2
    assert second.log_append_time_ms == -1
    if version >= 5:
        assert second.log_start_offset == 0


REFUSED = {
    "two batches": (batch() + batch(), 87),
    "no batch": (b"", 87),
    "three bytes": (b"abc", 87),
    "a length of zero": (b"\0" * 16 + b"\2", 2),
    "magic 0 (G37)": (message_set(0), 87),
    "magic 1 (G37)": (message_set(1), 87),
    "magic 3": (batch(magic=3), 2),
    "a wrong checksum": (batch(crc=5), 2),
    "a control batch": (batch(attributes=32), 87),
    "a count below the offsets": (batch(2, last_offset_delta=5), 87),
    "a count above the records": (batch(2, last_offset_delta=2, record_count=3), 87),
    "no records": (batch(0, last_offset_delta=0), 87),
    "a negative count": (batch(2, record_count=-1), 87),
    "a base offset": (batch(base_offset=100), 87),
    "a producer without sequence": (batch(producer_id=77), 87),
    "a producer with epoch, without sequence": (batch(producer_id=77, producer_epoch=0), 87),
    "a batch that is too large": (batch(value=b"x" * 1100000), 10),
    "codec 5": (batch(attributes=5), -1),
    "codec 7": (batch(attributes=7), -1),
    "a length of too many bytes": (batch(records=b"\xff" * 8), -1),
    "a producer of epoch -2": (batch(producer_id=78, producer_epoch=-2, base_sequence=0), 47),
    "too large, and a wrong checksum": (batch(value=b"x" * 1100000, crc=5, record_count=-1), 10),
    "a wrong checksum and a negative count": (batch(crc=5, record_count=-1), 2),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_batch_is_refused_G34(produce, what):
    records, error = REFUSED[what]
    row = produce(records)
    assert (row.error_code, row.base_offset, row.log_append_time_ms) == (error, -1, -1)


def one(body):
    """A batch of one record with this inside, its lengths and checksum right."""
    return batch(records=varint(len(body)) + body)


HEAD = b"\0" + varint(0) + varint(0)  # attributes, timestamp and offset of a record
NO_CONSUMER_COULD_READ = {
    "a key beyond its record": HEAD + varint(100) + b"k" + varint(1) + b"v" + varint(0),
    "a value beyond its record": HEAD + varint(-1) + varint(90) + b"v" + varint(0),
    "a negative number of headers": HEAD + varint(-1) + varint(1) + b"v" + varint(-1),
    "headers that are not there": HEAD + varint(-1) + varint(1) + b"v" + varint(3),
    "a header without key": HEAD + varint(-1) + varint(1) + b"v" + varint(1) + varint(-1) + varint(1) + b"h",
    "bytes behind its headers": HEAD + varint(-1) + varint(1) + b"v" + varint(0) + b"more",
}


@pytest.mark.parametrize("what", NO_CONSUMER_COULD_READ)
def test_a_record_that_no_consumer_could_read_is_refused_G34(produce, what):
    assert produce(one(NO_CONSUMER_COULD_READ[what])).error_code == 87
    assert produce(one(HEAD + varint(-1) + varint(-1) + varint(1) + varint(1) + b"h" + varint(-1))).error_code == 0


def test_the_log_start_is_told_where_the_log_refused_G39(produce):
    assert produce(batch(attributes=32)).log_start_offset == 0
    assert produce(batch(attributes=7)).log_start_offset == 0
    assert produce(batch(base_offset=5)).log_start_offset == 0
    assert produce(batch(crc=5)).log_start_offset == -1
    assert produce(batch() + batch()).log_start_offset == -1
    assert produce(batch(), partition=9).log_start_offset == -1


def test_zstd_needs_version_7_G34(produce):
    assert produce(batch(attributes=4), version=6).error_code == 76


def test_bytes_behind_the_batch_that_are_no_other_are_left_out(produce):
    first = produce(batch() + b"\xff" * 11)
    assert first.error_code == 0
    assert produce(batch()).base_offset == first.base_offset + 1


@pytest.mark.parametrize("acks,error", [(2, 21), (-2, 21), (1, 0), (-1, 0)])
def test_acks_are_checked(produce, acks, error):
    assert produce(batch(), acks=acks).error_code == error


@pytest.mark.parametrize("timeout_ms", [0, -1])
def test_a_timeout_of_nothing_is_no_error(produce, timeout_ms):
    assert produce(batch(), timeout_ms=timeout_ms).error_code == 0


def test_acks_0_has_no_answer_and_an_error_ends_the_connection_G10(bootstrap, place):
    def send(raw, partition):
        row = {"name": place[0], "partition_data": [{"index": partition, "records": batch()}]}
        raw.send("Produce", 9, transactional_id=None, acks=0, timeout_ms=1000, topic_data=[row])

    with Raw(bootstrap) as raw:
        send(raw, 0)
        assert raw.call("Metadata", 1, topics=[]).topics == []  # the next answer is that of the next request
        send(raw, 9)
        with pytest.raises(Closed):
            raw.frame()


def test_unknown_places(produce):
    import uuid

    assert produce(batch(), partition=9).error_code == 3
    assert produce(batch(), partition=-1).error_code == 3
    assert produce(batch(), topic="nope").error_code == 3
    assert produce(batch(), topic="a b").error_code == 3
    assert produce(batch(), version=13, topic_id=uuid.UUID(int=5)).error_code == 100
    assert produce(batch(), version=13, topic_id=NO_ID).error_code == 100


def test_the_last_entry_for_a_partition_counts(produce):
    first = produce(batch(1), twice=batch(5))
    assert produce(batch()).base_offset == first.base_offset + 5


# ---- requests with several partitions


@pytest.fixture
def rows(bootstrap, place):
    """Sends several partitions, as often as they are named; errors and messages by partition."""

    def send(*pairs, version=9, acks=-1, transactional_id=None):
        topics = [{"name": place[0], "partition_data": [{"index": i, "records": r}]} for i, r in pairs]
        answer = call(
            bootstrap,
            "Produce",
            version,
            transactional_id=transactional_id,
            acks=acks,
            timeout_ms=10000,
            topic_data=topics,
        )
        assert len(answer.responses) == 1
        return {row.index: (row.error_code, row.error_message) for row in answer.responses[0].partition_responses}

    return send


def test_a_topic_that_is_named_twice_has_one_row(rows):
    assert rows((0, batch()), (1, batch())) == {0: (0, None), 1: (0, None)}


def test_one_head_of_nothing_refuses_all_of_a_request_G37(rows):
    both = {0: (2, "Invalid magic found in record: 9"), 1: (2, "Invalid magic found in record: 9")}
    assert rows((0, batch(magic=9)), (1, batch())) == both
    assert rows((0, batch()), (1, batch()[:8] + bytes(40))) == {
        i: (2, "Record size 0 is less than the minimum record overhead (14)") for i in (0, 1)
    }
    short = bytearray(batch()[:50])
    short[8:12] = struct.pack(">i", 38)
    assert rows((0, bytes(short)), (1, batch())) == {0: (-1, None), 1: (-1, None)}
    assert rows((0, batch(attributes=6)), (1, batch()), version=6) == {0: (-1, None), 1: (-1, None)}
    assert rows((0, batch(attributes=6)), (1, batch())) == {0: (-1, None), 1: (0, None)}


def test_acks_are_looked_at_last(rows):
    assert rows((9, batch()), (0, batch() + batch()), (1, batch()), acks=2) == {
        9: (3, None),
        0: (87, None),
        1: (21, None),
    }


def in_transaction(producer=4000, epoch=0, **more):
    return batch(attributes=16, producer_id=producer, producer_epoch=epoch, base_sequence=0, **more)


@pytest.fixture
def transactions(bootstrap, rows):
    """Kafka has a coordinator for them some time after somebody has asked; ours has none, and knows no transaction."""
    end = time.monotonic() + 20
    with Raw(bootstrap) as raw:
        while rows((0, in_transaction()), transactional_id="nobody")[0][0] != 49:
            assert time.monotonic() < end
            raw.call("FindCoordinator", 1, key="nobody", key_type=1)
            time.sleep(0.1)


def test_batches_of_no_transaction(rows, transactions):
    assert rows((0, in_transaction()), (1, batch())) == {0: (53, None), 1: (53, None)}
    assert rows((0, in_transaction()), (1, batch()), transactional_id="nobody") == {0: (49, None), 1: (0, None)}
    assert rows((0, in_transaction()), (1, batch()), transactional_id="") == {0: (42, None), 1: (0, None)}
    told = "Transactional records contained more than one producer ID"
    for other in (in_transaction(4001), in_transaction(epoch=1)):
        assert rows((0, in_transaction()), (1, other), transactional_id="nobody") == {0: (49, told), 1: (49, told)}
    # Without a producer id it is a batch as any other, whatever its attributes claim.
    assert rows((0, batch(attributes=16)), (1, batch()), transactional_id="nobody") == {0: (0, None), 1: (0, None)}


# ---- what topics demand


def squeezed(records, codec=1, **more):
    return batch(records=gzip.compress(records), attributes=codec, **more)


OPENED = {
    "a compacted topic": {"cleanup.policy": "compact"},
    "a topic that compresses otherwise": {"compression.type": "lz4"},
    "a topic with a limit for the past": {"message.timestamp.before.max.ms": "86400000"},
    "a topic with a limit for the future": {"message.timestamp.after.max.ms": "86400000"},
}


@pytest.mark.parametrize("what", OPENED)
def test_a_compressed_batch_is_looked_into_where_a_config_demands_it_G34(bootstrap, produce, topic, what):
    create_topic(bootstrap, topic, 1, OPENED[what])
    good = HEAD + varint(1) + b"k" + varint(1) + b"v" + varint(0)
    good = varint(len(good)) + good
    for records, error in (
        (b"rubbish", -1),
        (gzip.compress(good)[:-9], -1),
        (gzip.compress(good + good), 87),
        (gzip.compress(good + b"tail"), 87),
        (gzip.compress(HEAD + varint(90) + b"k"), 87),
        (gzip.compress(good)[:-8] + bytes(8), -1),  # its own check fails, after good records
        (gzip.compress(good + good)[:-8] + bytes(8), 87),  # and after wrong ones, which are met first
        (gzip.compress(b""), 87),
        (gzip.compress(good), 0),
    ):
        row = produce(batch(records=records, attributes=1), topic=topic)
        assert (row.error_code, row.log_start_offset) == (error, 0), records


def test_a_batch_is_made_anew_only_of_what_a_batch_can_be(bootstrap, produce, topic):
    create_topic(bootstrap, topic, 1, {"compression.type": "gzip"})
    assert produce(batch(timestamp=-5), topic=topic).error_code == -1
    assert produce(batch(timestamp=-1), topic=topic).error_code == 0
    assert produce(batch(producer_id=5, base_sequence=0), topic=topic).error_code == -1
    assert produce(batch(producer_id=5, producer_epoch=0, base_sequence=0), topic=topic).error_code == 0


DAY_MS = 86_400_000


def record_at(delta, index):
    body = b"\0" + varint(delta) + varint(index) + varint(1) + b"k" + varint(1) + b"v" + varint(0)
    return varint(len(body)) + body


@pytest.mark.parametrize("compressed", [False, True])
def test_every_record_of_a_batch_is_held_against_the_limits(bootstrap, produce, topic, compressed):
    limits = {"message.timestamp.before.max.ms": str(DAY_MS), "message.timestamp.after.max.ms": str(DAY_MS)}
    create_topic(bootstrap, topic, 1, limits)
    now = int(time.time() * 1000)
    records = record_at(0, 0) + record_at(-2 * DAY_MS, 1) + record_at(2 * DAY_MS, 2)
    make = squeezed if compressed else lambda records, **more: batch(records=records, **more)
    row = produce(make(records, timestamp=now, last_offset_delta=2, record_count=3), topic=topic)
    assert (row.error_code, row.error_message) == (
        32,
        "One or more records have been rejected due to invalid timestamp",
    )
    assert [e.batch_index for e in row.record_errors] == [1, 2]
    start = f"Timestamp {now + 2 * DAY_MS} of message with offset 2 is out of range. The timestamp should be within ["
    assert row.record_errors[1].batch_index_error_message.startswith(start)


@pytest.mark.parametrize("compressed", [False, True])
def test_who_claims_the_time_of_the_broker_is_put_right_or_refused(bootstrap, produce, topic, compressed):
    claim = squeezed(record_at(0, 0), 9, timestamp=5000) if compressed else batch(attributes=8, timestamp=5000)
    assert produce(claim).error_code == 0
    create_topic(bootstrap, topic, 1, {"message.timestamp.type": "LogAppendTime"})
    row = produce(claim, topic=topic)
    assert (row.error_code, len(row.record_errors)) == (32, 1)
    told = row.record_errors[0].batch_index_error_message
    kind, key = ("PartialDefaultRecord", 1) if compressed else ("DefaultRecord", 0)
    assert told == (
        f"Invalid timestamp type in message {kind}(offset=0, timestamp=5000, key={key} bytes, value=1 bytes). "
        "Producer should not set timestamp type to LogAppendTime."
    )


def test_records_without_key_of_a_compacted_topic_are_named_G36(bootstrap, produce, topic):
    create_topic(bootstrap, topic, 1, {"cleanup.policy": "compact"})
    row = produce(batch(3), topic=topic)
    assert row.error_code == 87
    assert [e.batch_index for e in row.record_errors] == [0, 1, 2]
    told = f"Compacted topic cannot accept message without key in topic partition {topic}-0"
    assert {e.batch_index_error_message for e in row.record_errors} == {told}
    assert row.error_message.startswith("One or more records have been rejected due to 3 record errors in total")
    assert row.error_message.count("RecordError(batchIndex=") == 3
    assert produce(batch(3, key=b"k"), topic=topic).error_code == 0


def test_a_refused_batch_has_a_text_where_kafka_has_one(produce):
    assert produce(batch(2)[:-3]).error_message is None
    assert produce(idempotent(9, producer=7)).error_code == 0
    row = produce(idempotent(3, producer=7))
    assert (row.error_code, row.error_message) == (45, None)
    damaged = bytearray(batch())
    damaged[16] = 9
    assert produce(bytes(damaged)).error_message == "Invalid magic found in record: 9"
    damaged[8:12] = struct.pack(">i", 5)
    assert produce(bytes(damaged)).error_message == "Record size 5 is less than the minimum record overhead (14)"


def idempotent(sequence, count=1, epoch=0, producer=1):
    return batch(count, producer_id=10**6 + producer, producer_epoch=epoch, base_sequence=sequence)


def test_a_retried_batch_gets_its_first_offset_G51(produce):
    sent = [idempotent(i) for i in range(5)]
    offsets = [produce(b).base_offset for b in sent]
    assert [produce(b).base_offset for b in sent] == offsets
    assert produce(idempotent(5)).error_code == 0
    assert produce(idempotent(9)).error_code == 45
    assert produce(idempotent(6)).error_code == 0
    assert produce(sent[1]).error_code == 45  # the sixth from the end
    assert produce(sent[2]).base_offset == offsets[2]


def test_a_producer_without_state_may_begin_anywhere_G52(produce):
    assert produce(idempotent(7, producer=2)).error_code == 0
    assert produce(idempotent(5, epoch=1, producer=2)).error_code == 45
    assert produce(idempotent(0, epoch=1, producer=2)).error_code == 0
    assert produce(idempotent(8, epoch=0, producer=2)).error_code == 47


def test_a_producer_without_epoch_may_send_any_sequence(produce):
    first = produce(idempotent(0, epoch=-1, producer=5))
    assert first.error_code == 0
    assert produce(idempotent(0, epoch=-1, producer=5)).base_offset == first.base_offset
    assert [produce(idempotent(i, epoch=-1, producer=5)).error_code for i in (7, 3)] == [0, 0]
    assert produce(idempotent(5, epoch=0, producer=5)).error_code == 0
    assert produce(idempotent(9, epoch=0, producer=5)).error_code == 45
    assert produce(idempotent(0, epoch=-1, producer=5)).error_code == 47


def test_a_sequence_wraps_G53(produce):
    assert produce(idempotent(2**31 - 1, producer=3)).error_code == 0
    assert produce(idempotent(0, producer=3)).error_code == 0
    assert produce(idempotent(2**31 - 2, count=3, producer=4)).error_code == 0  # around inside the batch
    assert produce(idempotent(1, producer=4)).error_code == 0


def stored(bootstrap, topic, offset):
    place = {"partition": 0, "fetch_offset": offset, "current_leader_epoch": -1, "partition_max_bytes": 1 << 20}
    place |= {"log_start_offset": -1, "last_fetched_epoch": -1}
    answer = call(
        bootstrap,
        "Fetch",
        12,
        max_wait_ms=0,
        min_bytes=1,
        max_bytes=1 << 20,
        isolation_level=0,
        session_id=0,
        session_epoch=-1,
        topics=[{"topic": topic, "partitions": [place]}],
        forgotten_topics_data=[],
        rack_id="",
    )
    return bytes(answer.responses[0].partitions[0].records)


def test_the_largest_timestamp_of_a_batch_is_that_of_its_records_G35(bootstrap, produce, topic):
    create_topic(bootstrap, topic, 1)
    records = record_at(0, 0) + record_at(500, 1)
    sent = batch(2, records=records, timestamp=5000, max_timestamp=7000, attributes=0x88)
    assert produce(sent, topic=topic).error_code == 0
    sent = batch(2, records=records, timestamp=5000, max_timestamp=7000, attributes=0x80)
    assert produce(sent, topic=topic).error_code == 0
    for offset, largest in ((0, 7000), (2, 5500)):  # of a batch that claims LogAppendTime the header's is that of all
        got = stored(bootstrap, topic, offset)[:77]
        assert struct.unpack(">q", got[35:43]) == (largest,)
        assert got[21:23] == b"\0\0"


@pytest.mark.parametrize("kind", ["CreateTime", "LogAppendTime"])
def test_a_batch_is_stored_as_it_came_but_for_its_place_G35(bootstrap, produce, topic, kind):
    """Only base offset and leader epoch change, and by LogAppendTime the timestamp's type and the largest one."""
    create_topic(bootstrap, topic, 1, {"message.timestamp.type": kind})
    unused = 1 << 7  # a bit of the attributes that nobody uses yet
    sent = batch(3, key=b"k", attributes=unused, producer_id=10**6 + 9, producer_epoch=0, base_sequence=4)
    assert [produce(sent if i else batch(2), topic=topic).error_code for i in range(2)] == [0, 0]
    got = stored(bootstrap, topic, 2)
    assert len(got) == len(sent)
    assert int.from_bytes(got[:8], "big") == 2 and int.from_bytes(got[12:16], "big") == 0
    attributes, largest = int.from_bytes(got[21:23], "big"), got[35:43]
    assert int.from_bytes(got[17:21], "big") == crc32c(got[21:])
    if kind == "CreateTime":
        assert (attributes, largest) == (unused, sent[35:43])
    else:
        assert attributes & 8 and largest >= sent[35:43]
    changed = {*range(8), *range(12, 16)} | ({*range(17, 23), *range(35, 43)} if kind != "CreateTime" else set())
    assert [i for i in range(len(sent)) if sent[i] != got[i] and i not in changed] == []
