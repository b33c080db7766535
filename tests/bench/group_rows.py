"""Groups: 500 members rebalanced. The client is bare requests, so it is the same for every broker."""

import statistics
import time

from log_rows import Row
from measure import cpu_seconds, rss_mib
from support.kafka_wire import Peer

MEMBERS = 500  # of one group
METADATA = b"\0\0\0\0\0\1\0\5topic\xff\xff\xff\xff"


class Member(Peer):
    def __init__(self, bootstrap, group):
        super().__init__(bootstrap, "bench", timeout=60)
        self.group, self.id = group, ""

    def send_join(self):
        protocols = [{"Name": "range", "Metadata": METADATA}]
        self.send("JoinGroup", 5, GroupId=self.group, SessionTimeoutMs=60000, RebalanceTimeoutMs=120000,
                  MemberId=self.id, ProtocolType="consumer", Protocols=protocols)

    def joined(self):
        answer = self.answer()
        self.id, self.generation = answer["MemberId"], answer["GenerationId"]
        return answer

    def heartbeat(self):
        return self.ask("Heartbeat", 0, GroupId=self.group, GenerationId=self.generation, MemberId=self.id)["ErrorCode"]

    def send_sync(self, assignments):
        self.send("SyncGroup", 3, GroupId=self.group, GenerationId=self.generation, MemberId=self.id,
                  Assignments=assignments)


def rebalance(members):
    """The leader joins again, which begins it, then everybody else; then everybody syncs."""
    members[0].send_join()
    while members[1].heartbeat() != 27:
        pass
    for member in members[1:]:
        member.send_join()
    answers = [member.joined() for member in members]
    assert all(a["ErrorCode"] == 0 for a in answers), {a["ErrorCode"] for a in answers}
    assert len({a["GenerationId"] for a in answers}) == 1 and len(answers[0]["Members"]) == len(members)
    given = [{"MemberId": m.id, "Assignment": METADATA * 4} for m in members]
    for member in members:
        member.send_sync(given if member is members[0] else [])
    assert all(member.answer()["ErrorCode"] == 0 for member in members)


def enter(target, group):
    """All members in one generation, the first as the leader."""
    members = [Member(target.bootstrap, group) for _ in range(MEMBERS)]
    while members[0].ask("FindCoordinator", 2, Key=group, KeyType=0)["ErrorCode"]:
        time.sleep(0.1)
    for member in members:
        member.send_join()
        while member.joined()["ErrorCode"] in (14, 15, 16):  # groups are loading
            time.sleep(0.1)
            member.send_join()
    members[0].send_join()
    members[0].joined()
    members[0].send_sync([])
    members[0].answer()
    for member in members[1:]:
        member.send_join()
    while members[0].heartbeat() != 27:
        pass
    time.sleep(0.5)  # until all of them are in, or the next join would end the barrier before they are
    members[0].send_join()
    for member in members:
        member.joined()
    for member in members:
        member.send_sync([])
    for member in members:
        member.answer()
    rebalance(members)
    return members


def group(target, settings):
    count = max(int(20 * settings.scale), 3)
    members = enter(target, f"bench-{time.monotonic_ns()}")
    times, before = [], cpu_seconds(target.pid)
    for _ in range(count):
        begun = time.monotonic()
        rebalance(members)
        times.append((time.monotonic() - begun) * 1000)
    cpu = (cpu_seconds(target.pid) - before) * 1000 / count
    memory = rss_mib(target.pid)
    for member in members:
        member.close()
    return {"ms": statistics.median(times), "cpu_ms": cpu, "MiB": memory}


GROUP_ROWS = [Row("group-500", "group of 500 members, a rebalance", group)]
