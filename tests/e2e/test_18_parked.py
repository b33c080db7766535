"""A thousand consumers that wait: real connections, each with a fetch that is parked."""

import contextlib
import pathlib
import resource
import uuid

import pytest

from support.kafka_wire import Peer
from support.server import ROOT, binary, request, wait_for

CONSUMERS = 1000
# What one may cost: its arena, at most 4 KiB while it waits (tests/unit/broker/api/test_fetch_parked.c),
# and an idle connection, 2 KiB; twice that, since memory comes by pages.
BYTES_EACH = 2 * (4096 + 2048)
UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID = 3, 100

BY_NAME, BY_ID = 12, 13  # versions of Fetch


@pytest.fixture(autouse=True)
def descriptors():
    """Both ends of a thousand connections; the server inherits the limit."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    if before[0] < 2 * CONSUMERS + 500:
        if before[1] < 2 * CONSUMERS + 500:
            pytest.skip("this machine allows too few descriptors")
        resource.setrlimit(resource.RLIMIT_NOFILE, (2 * CONSUMERS + 500, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def parked(server):
    lines = request(server.users, "GET", "/metrics").raw.decode().splitlines()
    return int(float(next(x.rpartition(" ")[2] for x in lines if x.startswith("eventbox_kafka_fetches_parked "))))


def resident_bytes(server):
    status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
    return 1024 * int(next(x.split()[1] for x in status.splitlines() if x.startswith("VmRSS:")))


def park(peers, topic, offset, version=BY_NAME):
    """`topic` is a name, or an id from version 13 on."""
    field = "Topic" if version == BY_NAME else "TopicId"
    for peer in peers:
        partition = {"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1 << 20}
        peer.send(
            "Fetch",
            version,
            MaxWaitMs=600000,
            MinBytes=1,
            MaxBytes=1 << 20,
            Topics=[{field: topic, "Partitions": [partition]}],
        )


def topic_id(server, name):
    with Peer(server.bootstrap) as peer:
        topic = {"TopicId": uuid.UUID(int=0), "Name": name}
        return peer.ask("Metadata", 12, Topics=[topic], AllowAutoTopicCreation=False)["Topics"][0]["TopicId"]


def rows(peers):
    return [peer.answer()["Responses"][0]["Partitions"][0] for peer in peers]


def test_parked__a_thousand_fetches_are_answered_by_a_record_and_by_the_topic_s_end(eventbox):
    """G62: the deletion of a topic answers those that wait for it."""
    eventbox.kcat("-P", "-t", "waited", "-p", "0", stdin="first\n")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(eventbox.bootstrap, timeout=60)) for _ in range(CONSUMERS)]
        for peer in peers:
            peer.ask("ApiVersions", 0)
        park(peers, "waited", 1)
        wait_for(lambda: parked(eventbox) == CONSUMERS, 60, "all fetches to be parked")
        assert not any(peer.answered() for peer in peers[:: CONSUMERS // 10])
        assert eventbox.register("meanwhile").status == 201

        eventbox.kcat("-P", "-t", "waited", "-p", "0", stdin="second\n")
        for row in rows(peers):
            assert row["ErrorCode"] == 0 and row["HighWatermark"] == 2 and b"second" in row["Records"]
        assert parked(eventbox) == 0

        park(peers[::2], "waited", 2)
        park(peers[1::2], topic_id(eventbox, "waited"), 2, BY_ID)
        wait_for(lambda: parked(eventbox) == CONSUMERS, 60, "all fetches to be parked once more")
        with Peer(eventbox.bootstrap) as admin:
            answer = admin.ask("DeleteTopics", 4, TopicNames=["waited"], TimeoutMs=30000)
        assert [row["ErrorCode"] for row in answer["Responses"]] == [0]
        assert {row["ErrorCode"] for row in rows(peers[::2])} == {UNKNOWN_TOPIC}
        assert {row["ErrorCode"] for row in rows(peers[1::2])} == {UNKNOWN_TOPIC_ID}
        assert parked(eventbox) == 0
    assert eventbox.register("afterwards").status == 201


def has_sanitizer(path):
    return b"__asan_init" in path.read_bytes()


def test_parked__a_thousand_fetches_cost_their_arenas_and_connections(request, monkeypatch):
    """Measured on the release build, which scripts/test makes first: AddressSanitizer keeps what was freed and more."""
    release = ROOT / "build/src/main/eventbox"
    if has_sanitizer(pathlib.Path(binary())):
        if not release.exists() or has_sanitizer(release):
            pytest.skip("no release build")
        monkeypatch.setenv("EVENTBOX_BINARY", str(release))
    eventbox = request.getfixturevalue("eventbox")
    eventbox.kcat("-P", "-t", "waited", "-p", "0", stdin="first\n")
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(eventbox.bootstrap, timeout=60)) for _ in range(CONSUMERS)]
        for peer in peers:
            peer.ask("ApiVersions", 0)
        before = resident_bytes(eventbox)
        park(peers, "waited", 1)
        wait_for(lambda: parked(eventbox) == CONSUMERS, 60, "all fetches to be parked")
        cost = resident_bytes(eventbox) - before
        assert cost <= CONSUMERS * BYTES_EACH, f"{cost / CONSUMERS:.0f} bytes each"
