"""Damage on disk: named once, everything else stays readable."""

import re
import struct
import subprocess
import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.server import ROOT, wait_for

sys.path.append(str(ROOT / "tests/compat"))

from raw import call  # noqa: E402

CORRUPT_MESSAGE = 2


def test_damaged_segment__is_named_and_the_rest_is_readable(make_eventbox):
    server = make_eventbox(modules="broker").start()
    for i in range(20):
        server.kcat("-P", "-t", "rot", "-p", "0", stdin=f"record-{i}-" + "x" * 200 + "\n")
    assert server.stop() == 0
    segment = next(p for p in server.data.glob("topics/*-0/*.log") if b"record-0-" in p.read_bytes())
    data = bytearray(segment.read_bytes())
    data[data.index(b"record-0-") + 20] ^= 0xFF
    segment.write_bytes(data)
    server.start()
    command = [
        "kcat",
        "-b",
        server.bootstrap,
        "-C",
        "-t",
        "rot",
        "-p",
        "0",
        "-o",
        "0",
        "-e",
        "-q",
        "-X",
        "check.crcs=true",
    ]
    subprocess.run(command, capture_output=True, timeout=20)
    line = wait_for(lambda: [x for x in server.log_lines() if x["action"] == "log_damaged"], what="the log line")[0]
    assert "rot-0: a read found offsets 0 to 0 damaged" in str(line["details"])
    rest = server.kcat("-C", "-t", "rot", "-p", "0", "-o", "1", "-e", "-q", "-f", "%s\n").split()
    assert [r.rsplit("-", 1)[0] for r in rest] == [f"record-{i}" for i in range(1, 20)]
    server.kcat("-P", "-t", "rot", "-p", "0", stdin="after\n")
    assert server.kcat("-C", "-t", "rot", "-p", "0", "-o", "20", "-e", "-q", "-f", "%s\n") == "after\n"


def metric(server, name):
    text = server.user_service("GET", "/metrics").raw.decode()
    return float(re.search(rf"^{name} (\S+)$", text, re.M).group(1))


def flip_batch(segment, offset):
    """A byte in the records of the batch at this offset, while the server runs."""
    data, at = segment.read_bytes(), 0
    while struct.unpack_from(">q", data, at)[0] != offset:
        at += 12 + struct.unpack_from(">i", data, at + 8)[0]
    with segment.open("r+b") as file:
        file.seek(at + 100)
        file.write(bytes([data[at + 100] ^ 0xFF]))


def read_from(server, offset):
    """Offsets from this one on, and the error that ends them."""
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "reader", "enable.partition.eof": True})
    consumer.assign([TopicPartition("cold", 0, offset)])
    offsets = []
    while not (message := wait_for(lambda: consumer.poll(1), what="a record or an error")).error():
        offsets.append(message.offset())
    consumer.close()
    return offsets, message.error().name()


def test_read__rot_that_was_seen_is_refused_whatever_the_source(make_eventbox):
    """To consumers that check no checksum: a read has found it, so the page cache must not hand it out.

    Batches are so large that the reader knows where each begins, also behind the damage.
    """
    server = make_eventbox(args=["--broker.scrub_interval=0"]).start()
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    topic = NewTopic("cold", 1, 1, config={"internal.segment.bytes": "700000"})
    admin.create_topics([topic])["cold"].result(20)
    producer = Producer({"bootstrap.servers": server.bootstrap, "batch.num.messages": 1})
    for i in range(60):
        producer.produce("cold", f"record-{i}-" + "x" * 70_000, partition=0)
    assert producer.flush(20) == 0
    assert server.stop() == 0  # no memory has them any more
    server.start()
    segments = sorted(p for p in server.data.glob("topics/*-0/*.log") if b"record-" in p.read_bytes())
    bad = [int(segments[1].stem) + 3, int(segments[-1].stem) + 1]  # the latter is written to
    flip_batch(segments[1], bad[0])
    flip_batch(segments[-1], bad[1])
    for _ in range(3):
        assert read_from(server, 0)[0] == list(range(bad[0]))
        assert read_from(server, bad[0])[0] == []
        assert read_from(server, bad[0] + 1)[0] == list(range(bad[0] + 1, bad[1]))
        assert read_from(server, bad[1])[0] == []
        assert read_from(server, bad[1] + 1) == (list(range(bad[1] + 1, 60)), "_PARTITION_EOF")
    assert metric(server, "eventbox_log_scrub_damaged_total") == 2
    lines = [str(x["details"]) for x in server.log_lines() if x["action"] == "log_damaged"]
    assert [f"cold-0: a read found offsets {n} to {n} damaged" in line for n, line in zip(bad, lines)] == [True, True]
    assert len(lines) == 2
    assert server.stop() == 0


def by_time(server, timestamp):
    """What the oldest and the newest version of ListOffsets answer, which is the same."""
    row = {"partition_index": 0, "current_leader_epoch": -1, "timestamp": timestamp}
    topics = [{"name": "cold", "partitions": [row]}]
    fields = {"replica_id": -1, "isolation_level": 0, "timeout_ms": 10000}
    answers = [call(server.bootstrap, "ListOffsets", version, topics=topics, **fields) for version in (1, 11)]
    rows = [answer.topics[0].partitions[0] for answer in answers]
    assert rows[0].error_code == rows[1].error_code and rows[0].offset == rows[1].offset
    return rows[0].error_code, rows[0].offset


def test_lookup_by_time__of_rot_is_answered_as_a_fetch_of_it_is(make_eventbox):
    server = make_eventbox(args=["--broker.scrub_interval=0"]).start()
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic("cold", 1, 1)])["cold"].result(20)
    producer = Producer({"bootstrap.servers": server.bootstrap, "batch.num.messages": 1})
    for i in range(9):
        producer.produce("cold", f"record-{i}-" + "x" * 300, partition=0, timestamp=1_700_000_000_000 + i)
    assert producer.flush(20) == 0
    assert server.stop() == 0  # no memory has them any more
    server.start()
    assert by_time(server, 1_700_000_000_005) == (0, 5)
    flip_batch(next(p for p in server.data.glob("topics/*-0/*.log") if b"record-" in p.read_bytes()), 5)
    assert by_time(server, 1_700_000_000_004) == (0, 4)
    for _ in range(2):  # the first finds it
        assert by_time(server, 1_700_000_000_005) == (CORRUPT_MESSAGE, -1)
        assert read_from(server, 5)[0] == []
    assert server.stop() == 0


def test_scrub__rot_in_a_running_server_is_found_without_a_reader(make_eventbox):
    server = make_eventbox(args=["--broker.scrub_interval=300ms"]).start()
    topic = NewTopic("cold", 1, 1, config={"internal.segment.bytes": "4000"})
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([topic])["cold"].result(20)
    producer = Producer({"bootstrap.servers": server.bootstrap, "batch.num.messages": 1})
    for i in range(60):
        producer.produce("cold", f"record-{i}-" + "x" * 300, partition=0)
    assert producer.flush(20) == 0
    assert server.stop() == 0  # no memory has them any more
    server.start()
    assert read_from(server, 0) == (list(range(60)), "_PARTITION_EOF")
    began = int(time.time())
    wait_for(lambda: metric(server, "eventbox_log_scrub_ended_timestamp_seconds") > began, what="a whole round")
    assert metric(server, "eventbox_log_scrub_segments_total") > 0
    assert metric(server, "eventbox_log_scrub_damaged_total") == 0
    # One amid a segment, so that right ones lie on both sides.
    segment = sorted(p for p in server.data.glob("topics/*-0/*.log") if b"record-" in p.read_bytes())[1]
    bad = int(segment.stem) + 3
    flip_batch(segment, bad)
    wait_for(lambda: metric(server, "eventbox_log_scrub_damaged_total") == 1, what="the damage")
    lines = wait_for(lambda: [x for x in server.log_lines() if x["action"] == "log_damaged"], what="the log line")
    assert f"cold-0: the scrub found offsets {bad} to {bad} damaged" in str(lines[0]["details"])
    assert read_from(server, 0)[0] == list(range(bad))
    assert read_from(server, bad)[0] == []
    assert read_from(server, bad + 1) == (list(range(bad + 1, 60)), "_PARTITION_EOF")
    assert server.stop() == 0
    server.start()
    began = int(time.time())
    wait_for(lambda: metric(server, "eventbox_log_scrub_ended_timestamp_seconds") > began, what="a whole round")
    assert read_from(server, bad)[0] == []
    assert read_from(server, bad + 1) == (list(range(bad + 1, 60)), "_PARTITION_EOF")
    assert server.stop() == 0


def test_database_removed__start_is_refused_in_one_line(make_eventbox):
    """Else ids would be given out again while the topics still name them."""
    server = make_eventbox().start()
    assert server.register("kept").status == 201
    assert server.stop() == 0
    kept = {p: p.read_bytes() for p in server.data.glob("eventbox.db*")}
    for path in kept:
        path.unlink()
    server.spawn()
    assert server.process.wait(20) == 2
    assert any("another database" in line and str(server.data) in line for line in server.log().splitlines())
    for path in server.data.glob("eventbox.db*"):
        path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)
    server.env["DATABASE_URL"] = f"sqlite:///{server.data}/other.db"
    server.spawn()
    assert server.process.wait(20) == 2
    assert f"another database than sqlite:///{server.data}/other.db" in server.log()
    del server.env["DATABASE_URL"]
    server.start()
    assert [u["username"] for u in server.user_service("GET", "/users/").json] == ["kept"]


def test_link_to_nowhere_in_the_place_of_a_folder__start_names_it_and_loses_nothing(make_eventbox):
    server = make_eventbox(modules="broker").start()
    server.kcat("-P", "-t", "linked", "-p", "0", stdin="record\n")
    topics = server.data / "topics"  # 0-0 is the registry's
    folder = wait_for(lambda: next((p for p in topics.glob("*-0") if p.name != "0-0"), None), what="the topic's folder")
    server.kill()
    folder.rename(server.data / "aside")
    folder.symlink_to("nowhere")
    server.spawn()
    assert server.process.wait(20) == 2
    assert f"topics/{folder.name} is not a folder, and one should be there" in server.log()
    folder.unlink()
    (server.data / "aside").rename(folder)
    server.start()
    assert server.kcat("-C", "-t", "linked", "-p", "0", "-o", "0", "-e", "-q", "-f", "%s\n") == "record\n"


def test_wal_damaged_at_its_beginning__ids_go_on_above_all_that_the_log_names(make_eventbox):
    """SQLite reads a WAL up to its first bad frame: rows that were acknowledged are gone without a word."""
    server = make_eventbox().start()
    assert server.register("kept").json["id"] == 1
    assert server.stop() == 0  # moves the WAL into the database
    server.start()
    assert [server.register(name).json["id"] for name in ("lost", "lost2")] == [2, 3]
    wait_for(lambda: server.consume("users.snapshot").count("lost") >= 2, what="the events in the log")
    server.kill()
    wal = server.data / "eventbox.db-wal"
    data = bytearray(wal.read_bytes())
    data[32 + 24 + 100] ^= 0xFF  # in the page of the first frame
    wal.write_bytes(data)
    server.start()
    line = next(x for x in server.log_lines() if x["action"] == "database_behind")
    assert line["level"] == "ERROR" and line["details"]["database_event"] < line["details"]["log_event"]
    assert server.register("next").json["id"] == 4
    assert wait_for(lambda: [x for x in server.consume("user_created", "%k\n").split() if x == "4"], what="its event")
    assert server.stop() == 0
    server.start()
    assert sum(x["action"] == "database_behind" for x in server.log_lines()) == 1
