"""Groups outlive the process: members go on with their next heartbeat, offsets are where they were committed."""

import contextlib

from confluent_kafka import Consumer, Producer
from support.kafka_wire import Peer
from support.server import wait_for


def kill_and_start(server):
    server.process.kill()
    server.process.wait()
    server.start()


def join(peer, group, instance=None):
    """The only member of a Stable group: its id."""
    member = ""
    for _ in range(2):  # the first answer may be an id to join with
        protocols = [{"Name": "range", "Metadata": b"m"}]
        answer = peer.ask(
            "JoinGroup",
            5,
            GroupId=group,
            SessionTimeoutMs=10000,
            RebalanceTimeoutMs=30000,
            MemberId=member,
            GroupInstanceId=instance,
            ProtocolType="consumer",
            Protocols=protocols,
        )
        member = answer["MemberId"]
        if answer["ErrorCode"] == 0:
            break
    assignments = [{"MemberId": member, "Assignment": b"mine"}]
    synced = peer.ask("SyncGroup", 3, GroupId=group, GenerationId=1, MemberId=member, Assignments=assignments)
    assert synced["ErrorCode"] == 0
    return member


def test_members__go_on_with_their_next_heartbeat_after_a_kill(make_eventbox):
    server = make_eventbox(modules="broker").start()
    with Peer(server.bootstrap) as peer:
        dynamic, static = join(peer, "dynamic"), join(peer, "static", "i")
    kill_and_start(server)
    with Peer(server.bootstrap) as peer:
        for group, member in (("dynamic", dynamic), ("static", static)):
            # Also while groups load: a member is never sent away.
            assert peer.ask("Heartbeat", 3, GroupId=group, GenerationId=1, MemberId=member)["ErrorCode"] == 0
        wait_for(lambda: peer.ask("ListGroups", 4)["ErrorCode"] == 0, what="loaded groups")
        for group, member in (("dynamic", dynamic), ("static", static)):
            found = peer.ask("DescribeGroups", 5, Groups=[group])["Groups"][0]
            assert found["GroupState"] == "Stable" and found["ProtocolData"] == "range"
            assert [(m["MemberId"], m["MemberAssignment"]) for m in found["Members"]] == [(member, b"mine")]
            assert peer.ask("Heartbeat", 3, GroupId=group, GenerationId=1, MemberId=member)["ErrorCode"] == 0
        assert join(peer, "static", "i") != static  # it returns to its place; the old id is fenced
        stale = peer.ask("Heartbeat", 3, GroupId="static", GenerationId=1, MemberId=static, GroupInstanceId="i")
        assert stale["ErrorCode"] == 82


def test_librdkafka__does_not_notice_a_kill_but_for_the_wait(make_eventbox):
    server = make_eventbox(modules="broker").start()
    taken, records = [], []
    settings = {
        "bootstrap.servers": server.bootstrap,
        "group.id": "g",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "session.timeout.ms": 30000,
        "heartbeat.interval.ms": 200,
        "reconnect.backoff.max.ms": 200,
    }
    consumer = Consumer(settings)
    consumer.subscribe(["t"], on_revoke=lambda _, parts: taken.extend(parts))

    def produce(value):
        producer = Producer({"bootstrap.servers": server.bootstrap})
        producer.produce("t", value)
        assert producer.flush(20) == 0

    def has(value):
        records.extend(m.value() for m in consumer.consume(100, 0.1) if not m.error())
        return value in records

    produce(b"before")
    wait_for(lambda: has(b"before"), what="the first record")
    consumer.commit(asynchronous=False)
    kill_and_start(server)
    produce(b"after")
    wait_for(lambda: has(b"after"), what="the record after the kill")
    consumer.commit(asynchronous=False)
    assert taken == [] and records == [b"before", b"after"]
    with contextlib.closing(consumer), Peer(server.bootstrap) as peer:
        found = peer.ask("OffsetFetch", 5, GroupId="g", Topics=None)["Topics"][0]["Partitions"]
        assert sum(p["CommittedOffset"] for p in found) == 2


def commit(peer, group, topic, partitions):
    rows = [{"PartitionIndex": i, "CommittedOffset": 1, "CommittedMetadata": "m" * 4000} for i in range(partitions)]
    answer = peer.ask("OffsetCommit", 7, GroupId=group, Topics=[{"Name": topic, "Partitions": rows}])
    return {row["ErrorCode"] for row in answer["Topics"][0]["Partitions"]}


def listed(peer):
    answer = wait_for(lambda: (a := peer.ask("ListGroups", 4))["ErrorCode"] == 0 and a, what="loaded groups")
    return {group["GroupId"] for group in answer["Groups"]}


def test_full_memory__is_told_in_one_line_and_leaves_no_group(make_eventbox):
    server = make_eventbox(modules="broker", args=["--broker.group_memory=1MiB"]).start()
    with Peer(server.bootstrap) as peer:
        peer.ask("CreateTopics", 5, Topics=[{"Name": "t", "NumPartitions": 200, "ReplicationFactor": 1}])
        wait_for(lambda: commit(peer, "greedy", "t", 200) == {0}, what="the first commit")
        wait_for(lambda: commit(peer, "second", "t", 100) != {0}, what="full memory")
        before = listed(peer)
        for i in range(10):
            assert commit(peer, f"late{i}", "t", 1) == {15}
            joined = peer.ask("JoinGroup", 2, GroupId=f"late{i}", SessionTimeoutMs=10000, RebalanceTimeoutMs=30000,
                              ProtocolType="consumer", Protocols=[{"Name": "range", "Metadata": b"m" * 50000}])
            assert joined["ErrorCode"] == 15
        assert commit(peer, "greedy", "t", 200) == {0}  # what is there may go on
        assert listed(peer) == before and "greedy" in before
    lines = [line["details"] for line in server.log_lines() if line["action"] == "group_memory_full"]
    assert lines[0]["largest_group"] == "greedy" and "broker.group_memory" in lines[0]["what"]
    assert lines[0]["group_memory_bytes"] == 1 << 20
    assert all("refused" in line for line in lines[1:])
    kill_and_start(server)
    with Peer(server.bootstrap) as peer:
        assert listed(peer) == before
        assert peer.ask("DeleteGroups", 1, GroupsNames=["greedy"])["Results"][0]["ErrorCode"] == 0
        assert commit(peer, "late", "t", 1) == {0}
