"""Batches that are wrong inside, with a right checksum: each field of the header and of a record changed, by every
codec, to topics whose configs look at different things. And requests with several of them."""

import functools
import gzip
import random
import struct
import zlib

import snappy
from kafka.codec import (
    gzip_decode,
    lz4_decode,
    lz4_encode,
    snappy_decode,
    snappy_encode,
    zstd_decode,
    zstd_encode,
)
from support.record_batch import batch, message_set, varint

from ..options import DEFAULT_COUNT, OPTIONS
from ..peer import BEGIN_MS, NOW_MS
from ..scenario import make_topic, new_producer, produce_body, scenario, topic_id, wait_until

gzip_encode = functools.partial(gzip.compress, mtime=0)  # both sides are sent the same bytes, whatever the time
CODECS = {"plain": None, "gzip": gzip_encode, "snappy": snappy_encode, "lz4": lz4_encode, "zstd": zstd_encode}
NUMBERS = dict(zip(CODECS, range(5))) | {"block": 2}  # snappy without its frame, as librdkafka sends it
CODECS["block"] = snappy.compress
EXPAND = (bytes, gzip_decode, snappy_decode, lz4_decode, zstd_decode)
YEAR_MS = 365 * 86_400_000
TOPICS = {
    "any": [],
    "compacted": [("cleanup.policy", "compact")],
    "squeezed": [("compression.type", "gzip")],
    "expanded": [("compression.type", "uncompressed")],
    "stamped": [("message.timestamp.type", "LogAppendTime")],
    "not old": [("message.timestamp.before.max.ms", str(86_400_000))],
    "not new": [("message.timestamp.after.max.ms", str(7 * 86_400_000))],
    "short": [("max.message.bytes", "120")],
}
# Where nothing demands that a compressed batch is opened.
def is_closed(topic, codec):
    return codec != "plain" and (topic in ("any", "stamped", "short") or (topic, codec) == ("squeezed", "gzip"))



def record(body=None, *, time=0, offset=0, key=b"k", value=b"v", headers=b"\0", attributes=b"\0", tail=b"", length=0):
    """One record, any part of it other than it should be; `length` is what its length is wrong by. Octets in a tuple
    stand for a key or a value with its length."""

    def octets(value):
        return varint(-1) if value is None else value[1] if isinstance(value, tuple) else varint(len(value)) + value

    if body is None:
        body = attributes + varint(time) + varint(offset) + octets(key) + octets(value) + headers + tail
    return varint(len(body) + length) + body


GOOD = record() + record(offset=1)
KEYS = (b"a\xffb", b"\xe2\x82", b"\xc0\xaf!", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\xf5" * 70, "é☃".encode())
INSIDE = {
    "null key": record(key=None) + record(offset=1),
    "null value": record(value=None) + record(offset=1),
    "no keys": record(key=None) + record(offset=1, key=None),
    "key of -5": record(key=(0, varint(-5))) + record(offset=1),
    "value of -5": record(value=(0, varint(-5))) + record(offset=1),
    "key beyond": record(key=(0, varint(90) + b"k")) + record(offset=1),
    "value beyond": record() + record(offset=1, value=(0, varint(900) + b"v")),
    "value beyond, first": record(value=(0, varint(90) + b"v")) + record(offset=1),
    "headers of -1": record(headers=varint(-1)) + record(offset=1),
    "headers that are not there": record() + record(offset=1, headers=varint(3)),
    "header": record(headers=varint(1) + varint(1) + b"h" + varint(1) + b"v") + record(offset=1),
    "header without key": record(headers=varint(1) + varint(-1) + varint(1) + b"v") + record(offset=1),
    "header without value": record(headers=varint(1) + varint(1) + b"h" + varint(-1)) + record(offset=1),
    "header value of -7": record(headers=varint(1) + varint(1) + b"h" + varint(-7)) + record(offset=1),
    **{f"header key {k!r}": record(headers=varint(1) + varint(len(k)) + k + b"\2v") + record(offset=1) for k in KEYS},
    "tail in the record": record() + record(offset=1, tail=b"xx"),
    "tail in the first record": record(tail=b"xx") + record(offset=1),
    "longer": record(length=1) + record(offset=1),
    "shorter": record(length=-1) + record(offset=1),
    "last is longer": record() + record(offset=1, length=1),
    "last is shorter": record() + record(offset=1, length=-1),
    "length of 0": record() + varint(0),
    "length of -1": record() + varint(-1),
    "length without end": record() + b"\xff" * 6,
    "empty record": record() + record(b""),
    "record of one byte": record() + record(b"\0"),
    "attributes": record(attributes=b"\x7f") + record(offset=1),
    "long varints": record(key=(0, b"\x82\x80\x80\x80\x00k")) + record(offset=1),
    "varint of too many bits": record(key=(0, b"\x82\x80\x80\x80\x70k")) + record(offset=1),
    "varint of six bytes": record(key=(0, b"\x82\x80\x80\x80\x80\x00k")) + record(offset=1),
    "offsets 0 0": record() + record(),
    "offsets 1 0": record(offset=1) + record(),
    "offsets 0 7": record() + record(offset=7),
    "offsets -1 0": record(offset=-1) + record(),
    "a year ago": record() + record(offset=1, time=-YEAR_MS),
    "in a year": record() + record(offset=1, time=YEAR_MS),
    "both in a year": record(time=YEAR_MS) + record(offset=1, time=YEAR_MS),
    "in three days": record() + record(offset=1, time=3 * 86_400_000),
    "before time": record() + record(offset=1, time=-NOW_MS - 5),
    "no time": record() + record(offset=1, time=-NOW_MS - 1),
    "far before time": record() + record(offset=1, time=-(1 << 62)),
    "far after time": record() + record(offset=1, time=(1 << 63) - 1),
    "one record": record(),
    "three records": record() + record(offset=1) + record(offset=2),
    "nothing": b"",
    "tail": GOOD + b"tail",
    "tail of zeros": GOOD + b"\0" * 5,
    "random": bytes((i * 37 + 11) % 251 for i in range(80)),
}
# What stands in the header; the records are good.
HEADERS = {
    "right": {},
    **{f"attributes {n:#x}": {"attributes": n} for n in (5, 6, 7, 8, 0x20, 0x28, 0x40, 0x80, 0x48, 0x100, 0x2000)},
    **{f"base offset {n}": {"base_offset": n} for n in (1, -1)},
    **{f"last delta {n}": {"last_offset_delta": n} for n in (-1, 0, 2, -(1 << 31), (1 << 31) - 1)},
    **{f"count {n}": {"record_count": n} for n in (-1, 0, 1, 3, -(1 << 31), (1 << 31) - 1)},
    "count and delta of one": {"record_count": 1, "last_offset_delta": 0},
    "count and delta of three": {"record_count": 3, "last_offset_delta": 2},
    "count and delta of millions": {"record_count": 9_000_000, "last_offset_delta": 8_999_999},
    "count and delta of none": {"record_count": 0, "last_offset_delta": -1},
    **{f"base time {n}": {"timestamp": n, "max_timestamp": NOW_MS} for n in (-1, -2, 0, 5, 1 << 62, -(1 << 63))},
    **{f"largest time {n}": {"max_timestamp": n} for n in (-1, -2, 0, NOW_MS + YEAR_MS, NOW_MS - YEAR_MS, 1 << 62)},
    **{f"times {n}": {"timestamp": n, "max_timestamp": n} for n in (-1, -5, 0, NOW_MS + YEAR_MS, NOW_MS - YEAR_MS)},
    "times no, claimed": {"timestamp": -1, "max_timestamp": -1, "attributes": 8},
    "times future, claimed": {"max_timestamp": NOW_MS + YEAR_MS, "attributes": 8},
    "times past, claimed": {"max_timestamp": NOW_MS - YEAR_MS, "attributes": 8},
    "producer -2": {"producer_id": -2},
    "producer -2 with the rest": {"producer_id": -2, "producer_epoch": 0, "base_sequence": 0},
    "producer without epoch": {"producer_id": 71, "base_sequence": 0},
    "producer without epoch again": {"producer_id": 71, "base_sequence": 0},
    "producer of epoch -2": {"producer_id": 72, "producer_epoch": -2, "base_sequence": 0},
    "producer without sequence": {"producer_id": 73, "producer_epoch": 0},
    "producer of sequence -5": {"producer_id": 73, "producer_epoch": 0, "base_sequence": -5},
    "producer": {"producer_id": 74, "producer_epoch": 3, "base_sequence": 9},
    "producer again": {"producer_id": 74, "producer_epoch": 3, "base_sequence": 9},
    "producer below": {"producer_id": 74, "producer_epoch": 2, "base_sequence": 11},
    "epoch and sequence alone": {"producer_epoch": 5, "base_sequence": 5},
    "damaged": {"crc": 5},
    "damaged, negative count": {"crc": 5, "record_count": -1},
    "damaged, base offset": {"crc": 5, "base_offset": 7},
    "damaged, codec 7": {"crc": 5, "attributes": 7},
    "damaged, control": {"crc": 5, "attributes": 0x20},
}


def wide(size):
    """A frame of zstd with a window of that size, in which the records are not compressed."""
    return b"\x28\xb5\x2f\xfd\0" + bytes([size << 3]) + struct.pack("<I", len(GOOD) << 3 | 1)[:3] + GOOD


# What stands in place of the compressed bytes of good records.
SQUEEZED = {
    "not compressed": lambda octets: GOOD,
    "empty": lambda octets: b"",
    "cut by one": lambda octets: octets[:-1],
    "cut in the middle": lambda octets: octets[: len(octets) // 2],
    "its head alone": lambda octets: octets[:4],
    "zeros behind": lambda octets: octets + b"\0" * 9,
    "text behind": lambda octets: octets + b"and more of it",
    "twice": lambda octets: octets + octets,
    "wrong head": lambda octets: b"\x11" + octets[1:],
    "wrong end": lambda octets: octets[:-6] + bytes(6),
    "other flags": lambda octets: octets[:3] + b"\xe0" + octets[4:],
    "of zlib": lambda octets: zlib.compress(GOOD),
    "of zstd, 128 MiB": lambda octets: wide(17),
    "of zstd, 256 MiB": lambda octets: wide(18),
}


def made(codec, records=GOOD, **fields):
    squeeze = CODECS[codec]
    fields["attributes"] = fields.get("attributes", 0) | NUMBERS[codec]
    fields = {"timestamp": NOW_MS, "max_timestamp": NOW_MS, **fields}
    return batch(2, records=squeeze(records) if squeeze else records, **fields)


def ask(side, label, topic, records, partition, version=9):
    side.ask(f"{topic}: {label}", "Produce", version, produce_body(side, topic, records, partition, version=version))


def each(side, topic, codec):
    """Every batch of one codec to one topic. Where compressed ones are stored unopened, those that are wrong inside go
    to a partition of their own, since offsets differ there once one of them was taken."""
    closed = is_closed(topic, codec)
    partition = NUMBERS[codec]
    for name, fields in HEADERS.items():
        told = "unopened " if closed and "count and delta" in name else ""
        ask(side, f"{told}{codec} header, {name}", topic, made(codec, **fields), 5 if told else partition)
    for name, records in INSIDE.items():
        told = "unopened " if closed else ""
        ask(side, f"{told}{codec} inside, {name}", topic, made(codec, records), 5 if closed else partition)
    for name, change in SQUEEZED.items() if codec != "plain" else ():
        told = "unopened " if closed else ""
        wrong = batch(2, records=change(made(codec)[61:]), attributes=NUMBERS[codec], timestamp=NOW_MS)
        ask(side, f"{told}{codec} bytes, {name}", topic, wrong, 5 if closed else partition)
    # By chance, --count times for each codec and topic that opens it. Of zstd a few only: of a thousand, damaged,
    # libzstd before 1.5.6, as in Debian 12, takes one whose sequences read beyond their bits.
    few = min(OPTIONS.count, DEFAULT_COUNT)
    for i in range(0 if closed else few if codec == "zstd" else OPTIONS.count):
        rng = random.Random(f"{OPTIONS.seed} {codec} {i}")
        ask(side, f"{codec} by chance, {i}", topic, by_chance(codec, rng), partition)
    ask(side, f"{codec} at last", topic, made(codec), partition)


def by_chance(codec, rng):
    """Some records, squeezed, with some of their bytes changed, lost or doubled."""
    count = rng.choice((1, 2, 5, 30))
    records = b"".join(
        record(
            offset=i,
            time=rng.choice((0, 0, 5, -7)),
            key=b"key" * rng.randrange(20),
            value=rng.choice((b"", b"A" * 300, rng.randbytes(rng.randrange(40)))),
            headers=rng.choice((b"\0", varint(1) + varint(1) + b"h" + varint(2) + b"vv")),
        )
        for i in range(count)
    )
    octets = bytearray(CODECS[codec](records) if CODECS[codec] else records)
    for _ in range(rng.choice((1, 1, 2, 8))):
        at = rng.randrange(len(octets))
        octets[at : at + rng.choice((0, 1, 1, 1))] = rng.choice((b"", rng.randbytes(1), bytes([octets[at] ^ 1])))
    return batch(count, records=bytes(octets), attributes=NUMBERS[codec], timestamp=NOW_MS)


FIELDS = "attributes last_delta base_time largest_time producer epoch sequence count".split()


def stored(octets, offset):
    """Batches as they were stored: their headers, and the bytes of their records as they are when expanded. And the
    largest timestamps, and the offset behind the last whole one."""
    out, times = [], []
    while len(octets) > 61:
        base_offset, length = struct.unpack(">qi", octets[:12])
        if length + 12 > len(octets):
            break
        offset = base_offset + struct.unpack(">i", octets[23:27])[0] + 1
        values = dict(zip(FIELDS, struct.unpack(">hiqqqhii", octets[21:61])))
        largest = values.pop("largest_time")
        times.append("a time" if values["attributes"] & 8 and largest > BEGIN_MS else largest)
        records = octets[61 : 12 + length]
        try:
            records = EXPAND[values["attributes"] & 7](records).hex()
        except Exception as error:  # whatever a library says to rubbish
            records = type(error).__name__
        out.append(f"{base_offset}: {values} {records}")
        octets = octets[12 + length :]
    return out, times, offset


def keep_stored(side, topic, partition, closed=False):
    """For the comparison: everything that a partition holds. Unopened, a batch keeps the largest timestamp that its
    sender tells."""
    batches, times, offset = [], [], 0
    while True:
        place = {"Partition": partition, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
        topics = [{"Topic": side.topic(topic), "Partitions": [place]}]
        body = {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "Topics": topics}
        octets = side.quietly("Fetch", 12, body)["Responses"][0]["Partitions"][0]["Records"]
        more, more_times, offset = stored(octets, offset)
        if not more:
            break
        batches += more
        times += more_times
    side.answers[f"{topic}: stored in {partition}"] = batches
    side.answers[f"{topic}: {'unopened ' if closed else ''}largest times in {partition}"] = times


@scenario
def rubbish(side):
    for topic, configs in TOPICS.items():
        topic = topic.replace(" ", "")
        make_topic(side, topic, 6, configs)
        for codec in CODECS:
            each(side, topic, codec)
        for partition in range(5):
            keep_stored(side, topic, partition, is_closed(topic, list(CODECS)[partition]))


def several(side, version, topics, transactional_id=None, acks=-1):
    """`topics`: (name, {partition: records}) as often as they are asked for."""
    rows = []
    for name, partitions in topics:
        row = {"Name": side.topic(name), "PartitionData": [{"Index": i, "Records": r} for i, r in partitions]}
        if version >= 13:
            row["TopicId"] = topic_id(side, name)
        rows.append(row)
    return {"TransactionalId": transactional_id, "Acks": acks, "TimeoutMs": 5000, "TopicData": rows}


def headed(size, **fields):
    """A batch of so few bytes, with what room it has for a header."""
    octets = bytearray(batch(0, last_offset_delta=0, record_count=1, **fields)[:size])
    octets[8:12] = struct.pack(">i", size - 12)
    return bytes(octets)


def one(count=1, **fields):
    return batch(count, timestamp=NOW_MS, **fields)


@scenario
def produce_lists(side):
    """Several partitions in a request: what one of them is refused for, and what refuses them all."""
    make_topic(side, "a", 4)
    make_topic(side, "b", 2)
    new_producer(side)
    good, two = one(), one(2)
    strange = bytearray(good)
    strange[16] = 9
    strange = bytes(strange)
    in_no_transaction = one(attributes=16)
    in_one = one(attributes=16, producer_id=4000, producer_epoch=0, base_sequence=0)
    in_another = one(attributes=16, producer_id=4001, producer_epoch=0, base_sequence=0)
    of_next_epoch = one(attributes=16, producer_id=4000, producer_epoch=1, base_sequence=0)
    wait_for_transactions(side, in_one)
    for version in (3, 6, 7, 9, 11, 12, 13):

        def ask(label, *topics, version=version, **more):
            side.ask(label, "Produce", version, several(side, version, topics, **more))

        ask("a topic twice", ("a", [(0, good)]), ("a", [(0, two)]))
        ask("a topic twice, other partitions", ("a", [(0, good)]), ("a", [(1, two)]))
        ask("a topic twice around another", ("a", [(0, good)]), ("b", [(0, good)]), ("a", [(1, two)]))
        ask("a partition twice", ("a", [(0, good), (0, two)]))
        ask("a partition twice, then damaged", ("a", [(0, good), (0, one(crc=5))]))
        ask("a partition twice, then two batches", ("a", [(3, good), (3, good + good)]))
        ask("a partition twice, two batches first", ("a", [(3, good + good), (3, two)]))
        ask("a partition three times, one of them old", ("a", [(3, two), (3, message_set(1)), (3, good)]))
        ask("a partition three times, two of them bad", ("a", [(3, two), (3, b""), (3, good + good)]))
        ask("a partition twice, one good one, acks 2", ("a", [(3, two), (3, good + good)]), acks=2)
        ask("a topic without partitions", ("a", []))
        ask("a topic without partitions beside another", ("a", []), ("b", [(0, good)]))
        ask("magic 9 beside a good one", ("a", [(0, strange), (1, good)]))
        ask("magic 9 behind a batch beside a good one", ("a", [(0, good + strange), (1, good)]))
        ask("magic 9 for no partition beside a good one", ("a", [(9, strange), (1, good)]))
        ask("old messages beside a good one", ("a", [(0, message_set(1)), (1, good)]))
        for size in (26, 27, 50, 51, 60):
            ask(f"{size} bytes beside a good one", ("a", [(0, headed(size)), (1, good)]))
            ask(f"{size} bytes, base offset 5", ("a", [(0, headed(size, base_offset=5)), (1, good)]))
            ask(f"{size} bytes for no partition", ("a", [(9, headed(size)), (1, good)]))
            ask(f"{size} bytes, acks 2", ("a", [(0, headed(size)), (1, good)]), acks=2)
        for codec in (5, 6, 7) if version >= 7 else (4, 5, 6, 7):
            ask(f"codec {codec} beside a good one", ("a", [(0, one(attributes=codec)), (1, good)]))
            ask(f"codec {codec} for no partition", ("a", [(9, one(attributes=codec)), (1, good)]))
        ask("acks 2", ("a", [(9, good), (0, good + good), (1, good)]), acks=2)
        ask("a transaction without id", ("a", [(0, in_no_transaction), (1, good)]))
        ask("a transaction without id for no partition", ("a", [(9, in_no_transaction), (1, good)]))
        ask("a transaction without id behind magic 9", ("a", [(0, strange), (1, in_no_transaction)]))
        ask("a transaction without id before magic 9", ("a", [(0, in_no_transaction), (1, strange)]))
        for tid in ("nobody", ""):

            def ask_in(label, *pairs, ask=ask, tid=tid, **more):
                ask(f"id {tid!r}: {label}", ("a", list(pairs)), transactional_id=tid, **more)

            ask_in("no producer", (2, in_no_transaction))
            ask_in("a producer", (2, in_one), (1, good))
            ask_in("a producer, acks 2", (2, in_one), (1, good), acks=2)
            ask_in("a producer, damaged", (2, in_one[:-2] + b"!!"))
            ask_in("a producer and a control batch", (2, one(attributes=48, producer_id=4000, producer_epoch=0)))
            ask_in("two producers", (2, in_one), (3, in_another), (1, good))
            ask_in("two producers, one for no partition", (2, in_one), (9, in_another), (1, good))
            ask_in("two epochs", (2, in_one), (3, of_next_epoch))
            ask_in("no transaction", (2, good))
    keep_stored(side, "a", 2)
    keep_stored(side, "a", 3)


def wait_for_transactions(side, records):
    """Kafka has a coordinator for transactions some time after somebody has asked for one; ours says it has none."""

    def answers():
        side.quietly("FindCoordinator", 1, {"Key": "nobody", "KeyType": 1})
        body = several(side, 9, [("a", [(3, records)])], "nobody")
        return side.quietly("Produce", 9, body)["Responses"][0]["PartitionResponses"][0]["ErrorCode"] == 49

    wait_until(answers, "the coordinator of transactions")


@scenario
def produce_bounds(side):
    """What one batch may make the broker hold, and the requests that Kafka leaves without an answer."""
    make_topic(side, "keyed", 1, [("cleanup.policy", "compact"), ("max.message.bytes", "2000000")])
    make_topic(side, "narrow", 1, [("segment.bytes", "1048576"), ("max.message.bytes", "2000000")])
    keyless = b"".join(record(key=None, offset=i) for i in range(1200))
    large = record(value=bytes(70 << 20))
    for label, count, records in (("1200 records without key", 1200, keyless), ("expands to 70 MiB", 1, large)):
        octets = batch(count, records=gzip_encode(records), attributes=1, timestamp=NOW_MS)
        side.ask(label, "Produce", 9, produce_body(side, "keyed", octets))
    side.ask("beyond a segment", "Produce", 9, produce_body(side, "narrow", batch(value=bytes(1_500_000))))
    side.ask("too large", "Produce", 9, produce_body(side, "narrow", batch(value=bytes(2_500_000))))
    side.quietly("ApiVersions", 0, {})
    side.peer.socket.settimeout(3)  # Kafka never answers these: what refuses them fails at the same null
    side.ask("null", "Produce", 9, produce_body(side, "narrow", None))
