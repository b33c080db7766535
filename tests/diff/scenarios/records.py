"""Produce, Fetch and the questions about offsets."""

import struct
import time
import uuid

from ..scenario import NOW_MS, batch, make_topic, new_producer, produce_body, scenario, topic_id, versions

VALID_FROM = 3


def with_bytes(octets, at, new):
    return octets[:at] + new + octets[at + len(new) :]


@scenario
def produce(side):
    make_topic(side, "p", 2)
    make_topic(side, "strict", 1, [("max.message.bytes", "200")])
    make_topic(side, "compacted", 1, [("cleanup.policy", "compact")])
    good = batch((b"a", b"b"))
    for version in versions("Produce"):
        if version < VALID_FROM:
            continue

        def ask(label, name, records, version=version, **more):
            side.ask(label, "Produce", version, produce_body(side, name, records, version=version, **more))

        ask("right", "p", good)
        ask("leader alone", "p", good, acks=1)
        for codec in (1, 2, 3) + ((4,) if version >= 7 else ()):
            ask(f"codec {codec}", "p", batch((b"a" * 100, b"b"), codec))
        if version < 7:
            ask("codec 4", "p", batch((b"a" * 100, b"b"), 4))
        ask("codec 5", "p", with_bytes(good, 22, b"\5"))
        ask("damaged", "p", with_bytes(good, 70, b"!"))
        ask("magic 1", "p", with_bytes(good, 16, b"\1"))
        ask("size 5", "p", with_bytes(good, 8, struct.pack(">i", 5)))
        ask("size -1", "p", with_bytes(good, 8, struct.pack(">i", -1)))
        ask("magic 9", "p", with_bytes(good, 16, b"\x09"))
        ask("cut", "p", good[:-3])
        ask("tail", "p", good + b"xyz")
        ask("two batches", "p", good + good)
        ask("no records", "p", b"")
        ask("partition 9", "p", good, partition=9)
        ask("partition -1", "p", good, partition=-1)
        ask("acks 2", "p", good, acks=2)
        ask("transactional", "p", good, transactional_id="nobody")
        ask("too large", "strict", batch((b"a" * 300,)))
        ask("without keys", "compacted", keyless())
        ask("base offset 5", "p", with_bytes(good, 0, struct.pack(">q", 5)))
        ask("control", "p", recrc(with_bytes(good, 22, b"\x20")))
        ask("transactional batch", "p", recrc(with_bytes(good, 22, b"\x10")))
        ask("count 3", "p", recrc(with_bytes(good, 57, struct.pack(">i", 3))))
        ask("last delta 9", "p", recrc(with_bytes(good, 23, struct.pack(">i", 9))))
        ask("future", "p", batch((b"a",), timestamp=32503680000000))
        ask("no time", "p", batch((b"a",), timestamp=-1))
        if version < 13:
            ask("missing", "p", good, topic=side.topic("missing"))
            ask("wrong name", "p", good, topic="a/b")
        else:
            row = {"TopicId": uuid.UUID(int=5), "PartitionData": [{"Index": 0, "Records": good}]}
            side.ask("wrong id", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TopicData": [row]})
        side.ask("nothing", "Produce", version, {"Acks": -1, "TimeoutMs": 1000, "TopicData": []})
    for version in range(VALID_FROM):
        side.ask("old", "Produce", version, {"Acks": 1, "TimeoutMs": 1000, "TopicData": []})


def recrc(octets):
    from kafka.record.util import calc_crc32c

    return with_bytes(octets, 17, struct.pack(">I", calc_crc32c(octets[21:])))


def keyless():
    from kafka.record.default_records import DefaultRecordBatchBuilder

    args = dict(is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1, batch_size=1 << 20)
    builder = DefaultRecordBatchBuilder(magic=2, compression_type=0, **args)
    builder.append(0, timestamp=NOW_MS, key=None, value=b"v", headers=[])
    return bytes(builder.build())


@scenario
def idempotence(side):
    make_topic(side, "i", 2)
    new_producer(side)
    for version in versions("InitProducerId"):
        more = {"ProducerId": -1, "ProducerEpoch": -1}
        side.ask("new", "InitProducerId", version, {"TransactionalId": None, "TransactionTimeoutMs": 0, **more})
        side.ask("empty", "InitProducerId", version, {"TransactionalId": "", "TransactionTimeoutMs": 1000, **more})
        if version >= 3:
            body = {"TransactionalId": None, "TransactionTimeoutMs": 1000, "ProducerId": 5, "ProducerEpoch": 1}
            side.ask("with id", "InitProducerId", version, body)
            side.ask("half", "InitProducerId", version, dict(body, ProducerEpoch=-1))
    pid = new_producer(side)

    def ask(label, epoch, sequence, count=1, partition=0, producer=None):
        records = batch([b"x"] * count, producer=(pid if producer is None else producer, epoch, sequence))
        side.ask(label, "Produce", 9, produce_body(side, "i", records, partition))

    ask("first", 0, 0, 2)
    ask("again", 0, 0, 2)
    ask("next", 0, 2)
    ask("other size", 0, 0, 1)
    ask("gap", 0, 9)
    ask("third", 0, 3)
    ask("fourth", 0, 4)
    ask("fifth", 0, 5)
    ask("sixth", 0, 6)
    ask("seventh", 0, 7)
    ask("one of the last five", 0, 4)
    ask("too old", 0, 0, 2)
    ask("middle", 0, 3, 2)
    ask("new epoch, wrong start", 1, 5)
    ask("new epoch", 1, 0)
    ask("old epoch", 0, 8)
    ask("negative epoch", -1, 0)
    ask("negative sequence", 1, -1)
    ask("begins in the middle", 0, 5, partition=1)
    ask("unknown producer", 0, 7, producer=999999)
    ask("unknown producer at zero", 0, 0, producer=999998)
    two = batch([b"x"], producer=(pid, 1, 1)) + batch([b"x"], producer=(pid, 1, 2))
    side.ask("two batches", "Produce", 9, produce_body(side, "i", two))
    side.ask("end", "ListOffsets", 5, list_body(side, "i", 0, -1))


def fetch_body(side, version, name, rows, topic=None, **more):
    """`rows`: (partition, offset, more fields) of one topic."""
    partitions = [{"Partition": p, "FetchOffset": o, "PartitionMaxBytes": 1 << 20, **f} for p, o, f in rows]
    topics = [{"Topic": topic or side.topic(name), "Partitions": partitions}]
    if version >= 13:
        topics[0]["TopicId"] = topic_id(side, name)
    return {"MaxWaitMs": 100, "MinBytes": 0, "MaxBytes": 1 << 20, "Topics": topics, **more}


@scenario
def fetch(side):
    make_topic(side, "f", 2)
    for values in ((b"a",), (b"b", b"c"), (b"d" * 100,)):
        side.quietly("Produce", 9, produce_body(side, "f", batch(values)))
    for version in versions("Fetch"):

        def ask(label, rows, name="f", topic=None, version=version, **more):
            side.ask(label, "Fetch", version, fetch_body(side, version, name, rows, topic, **more))

        for offset in (0, 1, 2, 3, 4, 5, -1):
            ask(f"from {offset}", [(0, offset, {})])
        ask("committed", [(0, 0, {})], IsolationLevel=1)
        ask("isolation 9", [(0, 0, {})], IsolationLevel=9)
        ask("little", [(0, 0, {"PartitionMaxBytes": 1})])
        ask("little of all", [(0, 0, {})], MaxBytes=1)
        ask("zero", [(0, 0, {"PartitionMaxBytes": 0})], MaxBytes=0)
        ask("negative", [(0, 0, {})], MaxBytes=-1, MaxWaitMs=-1, MinBytes=-1)
        for label, rows in (("there", [(1, 0, {}), (0, 1, {})]), ("nowhere", [(9, 0, {}), (0, 1, {}), (0, 2, {})])):
            ask(f"negative behind one {label}", rows, MaxBytes=-1, MaxWaitMs=0)
        ask("both", [(0, 1, {}), (1, 0, {})])
        ask("partition 9", [(9, 0, {})])
        ask("twice", [(0, 0, {}), (0, 1, {})])
        side.ask("nothing", "Fetch", version, {"MaxWaitMs": 0, "MinBytes": 0, "Topics": []})
        ask("negative at the end", [(0, 4, {"PartitionMaxBytes": -1})], MaxBytes=-1)
        ask("nothing left for the second", [(0, 1, {}), (1, 0, {}), (0, 0, {})], MaxBytes=1, IsolationLevel=1)
        for epoch in (-1, 0, 1) if version >= 9 else (-1,):
            for level in (0, 9):
                replica = {"ReplicaId": 7} if version < 15 else {"ReplicaState": {"ReplicaId": 7, "ReplicaEpoch": -1}}
                rows = [(0, 0, {"CurrentLeaderEpoch": epoch})]
                ask(f"replica of {epoch} at {level}", rows, IsolationLevel=level, **replica)
        if version >= 13:
            nobody = {"TopicId": uuid.UUID(int=0), "Partitions": [{"Partition": 0}]}
            other = {"TopicId": topic_id(side, "f"), "Partitions": [{"Partition": 9}]}
            for node in (-1, 7):
                replica = {"ReplicaId": node} if version < 15 else {"ReplicaState": {"ReplicaId": node}}
                for label, rows in (("before", [nobody, other]), ("behind", [other, nobody])):
                    body = {"MaxWaitMs": 0, "MinBytes": 0, "SessionEpoch": -1, "Topics": rows, **replica}
                    side.ask(f"no id {label} partition 9, replica {node}", "Fetch", version, body)
        if version < 13:
            ask("missing", [(0, 0, {})], topic=side.topic("missing"))
        else:
            rows = [
                {
                    "TopicId": uuid.UUID(int=3),
                    "Partitions": [{"Partition": 0, "FetchOffset": 0, "PartitionMaxBytes": 9}],
                }
            ]
            side.ask("wrong id", "Fetch", version, {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 99, "Topics": rows})
        if version >= 9:
            for epoch in (0, 1, -2, 99):
                ask(f"epoch {epoch}", [(0, 0, {"CurrentLeaderEpoch": epoch})])
        if version >= 12:
            for epoch in (0, 1):
                ask(f"fetched epoch {epoch}", [(0, 1, {"LastFetchedEpoch": epoch})])
        if version >= 7:
            sessions(side, version, ask)


def sessions(side, version, ask):
    body = fetch_body(side, version, "f", [(0, 0, {}), (1, 0, {})], SessionId=0, SessionEpoch=0)
    opened = side.ask("session opens", "Fetch", version, body)
    session = opened["SessionId"] if opened else 0
    side.know(session, "the session")
    empty = {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "SessionId": session, "Topics": []}
    side.ask("session goes on", "Fetch", version, {**empty, "SessionEpoch": 1})
    rows = fetch_body(side, version, "f", [(0, 2, {})])["Topics"]
    side.ask("session moves", "Fetch", version, {**empty, "SessionEpoch": 2, "Topics": rows})
    side.ask("session wrong epoch", "Fetch", version, {**empty, "SessionEpoch": 9})
    forgotten = {"Topic": side.topic("f"), "Partitions": [0]}
    if version >= 13:
        forgotten["TopicId"] = topic_id(side, "f")
    side.ask("session forgets", "Fetch", version, {**empty, "SessionEpoch": 3, "ForgottenTopicsData": [forgotten]})
    side.ask("session after it", "Fetch", version, {**empty, "SessionEpoch": 4})
    side.ask("no such session", "Fetch", version, {**empty, "SessionId": 12345, "SessionEpoch": 1})
    ask("session ends", [(0, 0, {})], SessionId=session, SessionEpoch=-1)
    side.ask("session is over", "Fetch", version, {**empty, "SessionEpoch": 5})


def list_body(side, name, partition, timestamp, **more):
    row = {"PartitionIndex": partition, "Timestamp": timestamp, **more}
    return {"ReplicaId": -1, "Topics": [{"Name": side.topic(name), "Partitions": [row]}]}


@scenario
def list_offsets(side):
    make_topic(side, "l", 2)
    for i, value in enumerate((b"a", b"b", b"c")):
        side.quietly("Produce", 9, produce_body(side, "l", batch((value, value), timestamp=NOW_MS + 1000 * i)))
    for version in versions("ListOffsets"):
        later = [NOW_MS + late for late in (0, 500, 1000, 1 << 40)]
        for timestamp in (-1, -2, -3, -4, -5, -6, -7, 0, *later):
            for partition in (0, 1):
                body = list_body(side, "l", partition, timestamp)
                side.ask(f"at {timestamp} of {partition}", "ListOffsets", version, body)
        side.ask("partition 9", "ListOffsets", version, list_body(side, "l", 9, -1))
        side.ask("missing", "ListOffsets", version, list_body(side, "missing", 0, -1))
        side.ask("nothing", "ListOffsets", version, {"ReplicaId": -1, "Topics": []})
        body = list_body(side, "l", 0, -1)
        body["Topics"][0]["Partitions"] *= 2
        side.ask("twice", "ListOffsets", version, body)
        two = {**body, "Topics": body["Topics"] + list_body(side, "l", 1, -1)["Topics"]}
        side.ask("topic twice", "ListOffsets", version, two)
        if version >= 2:
            side.ask("twice at no level", "ListOffsets", version, {**two, "IsolationLevel": 9})
        if version >= 2:
            for level in (1, 9):
                side.ask(
                    f"isolation {level}",
                    "ListOffsets",
                    version,
                    {**list_body(side, "l", 0, -1), "IsolationLevel": level},
                )
        if version >= 4:
            for epoch in (0, 1, -2):
                body = list_body(side, "l", 0, -1, CurrentLeaderEpoch=epoch)
                side.ask(f"epoch {epoch}", "ListOffsets", version, body)
    for version in versions("OffsetForLeaderEpoch"):
        for epoch in (-2, -1, 0, 1, 99):
            for current in (-1, 0, 1):
                row = {"Partition": 0, "CurrentLeaderEpoch": current, "LeaderEpoch": epoch}
                rows = [{"Topic": side.topic("l"), "Partitions": [row]}]
                body = {"ReplicaId": -2, "Topics": rows}
                side.ask(f"epoch {epoch} seen {current}", "OffsetForLeaderEpoch", version, body)
        for name, partition in (("l", 9), ("missing", 0)):
            row = {"Partition": partition, "CurrentLeaderEpoch": -1, "LeaderEpoch": 0}
            body = {"ReplicaId": -2, "Topics": [{"Topic": side.topic(name), "Partitions": [row]}]}
            side.ask(f"{name} {partition}", "OffsetForLeaderEpoch", version, body)


def next_millisecond():
    """Waits until the clock shows another one: what is appended now is later than all that was answered."""
    before = time.time_ns() // 1_000_000
    while time.time_ns() // 1_000_000 == before:
        pass


@scenario
def append_time(side):
    """Topics whose records get the broker's time, and limits of the sender's."""
    make_topic(side, "t", 1, [("message.timestamp.type", "LogAppendTime")])
    make_topic(side, "old", 1, [("message.timestamp.before.max.ms", "1000")])
    make_topic(side, "soon", 1, [("message.timestamp.after.max.ms", "1000")])
    for version in (3, 8, 9, 11):
        next_millisecond()
        side.ask("append time", "Produce", version, produce_body(side, "t", batch((b"a",))))
        side.ask("too old", "Produce", version, produce_body(side, "old", batch((b"a",), timestamp=1000)))
        side.ask("too new", "Produce", version, produce_body(side, "soon", batch((b"a",), timestamp=4000000000000)))
    for timestamp in (-1, -2, -3, NOW_MS):
        side.ask(f"at {timestamp}", "ListOffsets", 7, list_body(side, "t", 0, timestamp))
