"""What the requests by chance can meet: a few topics and groups, made alike on both brokers.

Topic r has two partitions, the first with the records 1 to 4 (0 is deleted) in three batches; s has an empty one; gone
was deleted, and only its id is left. Groups are made anew for each version: `busy` with a member, `fixed` with a static
one, `simple` with offsets alone. Nothing that one API does is seen by the requests of another.
"""

import copy
import struct
import uuid

from ..peer import Closed, wait_until
from ..scenario import batch, coordinate, make_topic, new_producer, produce_body, topic_id

LONG_MS = 300_000  # no member leaves by itself
GROUPS = {"OffsetCommit", "OffsetFetch", "OffsetDelete", "JoinGroup", "Heartbeat", "LeaveGroup", "SyncGroup"}
GROUPS |= {"DescribeGroups", "ListGroups", "DeleteGroups", "FindCoordinator"}
SPENT = {"DeleteTopics", "CreatePartitions", "DeleteRecords"}  # use up what is there


def subscription(topics):
    names = b"".join(struct.pack(">h", len(t)) + t.encode() for t in topics)
    return struct.pack(">hi", 0, len(topics)) + names + struct.pack(">i", 0)


class World:
    """One of the two brokers as the requests of one API find it."""

    def __init__(self, side, api):
        self.side, self.api = side, api
        self.node = side.node
        self.round = ""
        self.member = self.static = self.last_member = self.last_group = ""
        self.newcomers = 0
        self.session, self.next_epoch = 0, 1
        self.folder = side.quietly("DescribeLogDirs", 1, {"Topics": []})["Results"][0]["LogDir"]
        make_topic(side, "r", 2)
        make_topic(side, "s", 1)
        make_topic(side, "gone", 1)
        self.ids = {name: topic_id(side, name) for name in ("r", "s", "gone")}
        rows = [{"Name": side.topic("gone")}]
        side.quietly("DeleteTopics", 5, {"TopicNames": [side.topic("gone")], "TimeoutMs": 10000})
        wait_until(lambda: self._is_gone(rows), "the deletion")
        if api == "InitProducerId":
            new_producer(side)  # a broker that has just begun has no ids yet
        self._fill("r")

    def _is_gone(self, rows):
        answer = self.side.quietly("Metadata", 12, {"Topics": rows, "AllowAutoTopicCreation": False})
        return answer["Topics"][0]["ErrorCode"] == 3

    def _fill(self, name):
        for values in ((b"a",), (b"b", b"c"), (b"d" * 100, b"e")):
            self.side.quietly("Produce", 9, produce_body(self.side, name, batch(values)))
        self.side.quietly("Produce", 9, produce_body(self.side, name, batch((b"x",)), 1))
        row = {"Name": self.side.topic(name), "Partitions": [{"PartitionIndex": 0, "Offset": 1}]}
        self.side.quietly("DeleteRecords", 2, {"Topics": [row], "TimeoutMs": 10000})

    # -- names

    def topic(self, name):
        return self.side.topic(name)

    def spent(self, name):
        """A topic or group of this version alone."""
        return self.side.topic(f"{name}{self.round}")

    def shared(self):
        """This world without what is longer on one side, or of another number: its bytes are changed one by one."""
        other = copy.copy(self)
        other.folder, other.session, other.next_epoch = "/nowhere", 12345, 1
        other.member = other.static = other.last_member = "nobody"  # ids are drawn: their bytes mean another each
        return other

    # -- one version after the other

    def begin_version(self, version):
        self.round = f".{version}"
        if self.api in GROUPS:
            self._make_groups()
        if self.api in SPENT:
            make_topic(self.side, f"t{self.round}", 2)
            make_topic(self.side, f"u{self.round}", 1)
            self._fill(f"t{self.round}")

    def end_version(self):
        """Both brokers have a place for so many fetch sessions, and give it up only after two minutes; and the group
        with the empty name is everybody's."""
        self.close_session()
        if self.api in GROUPS:
            self.side.quietly("DeleteGroups", 2, {"GroupsNames": [""]})

    def _join(self, group, instance):
        body = {
            "GroupId": group,
            "SessionTimeoutMs": LONG_MS,
            "RebalanceTimeoutMs": LONG_MS,
            "MemberId": "",
            "GroupInstanceId": instance,
            "ProtocolType": "consumer",
            "Protocols": [{"Name": "range", "Metadata": subscription([self.topic("r")])}],
        }
        answer = self.side.quietly("JoinGroup", 5 if instance else 3, body)
        member = answer["MemberId"]
        body = {"GroupId": group, "GenerationId": answer["GenerationId"], "MemberId": member}
        more = {"GroupInstanceId": instance, "Assignments": [{"MemberId": member, "Assignment": b"all"}]}
        self.side.quietly("SyncGroup", 3 if instance else 2, {**body, **more})
        return member

    def _make_groups(self):
        for name in ("busy", "fixed", "simple"):
            coordinate(self.side, self.spent(name))
        self.member = self._join(self.spent("busy"), None)
        self.static = self._join(self.spent("fixed"), "static")
        self.last_member, self.last_group, self.newcomers = self.member, self.spent("busy"), 0
        self.side.know(self.member, "the member")
        self.side.know(self.static, "the static member")
        rows = [{"PartitionIndex": p, "CommittedOffset": 2 + p, "CommittedMetadata": "m"} for p in (0, 1)]
        for name, topics in (("busy", ["s", "r"]), ("simple", ["r", "s"])):
            asked = [{"Name": self.topic(t), "Partitions": rows[: 2 if t == "r" else 1]} for t in topics]
            busy = {"GenerationIdOrMemberEpoch": 1, "MemberId": self.member}
            by = busy if name == "busy" else {"GenerationIdOrMemberEpoch": -1, "MemberId": ""}
            self.side.quietly("OffsetCommit", 7, {"GroupId": self.spent(name), **by, "Topics": asked})

    # -- what an answer brings with it

    def learn(self, body, answer):
        """Members and sessions that the broker has drawn are asked for again."""
        if not body or not answer:
            return
        if self.api == "JoinGroup" and answer["MemberId"] and body["MemberId"] == "":
            self.last_member, self.last_group = answer["MemberId"], body["GroupId"]
            self.side.know(self.last_member, "the last member")
        if self.api == "Fetch" and "SessionId" in answer and not answer["ErrorCode"]:
            if body["SessionEpoch"] == 0 and answer["SessionId"]:
                self.close_session()
                self.session, self.next_epoch = answer["SessionId"], 1
                self.side.know(self.session, "the session")
            elif body["SessionId"] == self.session and body["SessionEpoch"] == self.next_epoch:
                self.next_epoch += 1

    def close_session(self):
        if self.session:
            body = {"MaxWaitMs": 0, "MinBytes": 0, "SessionId": self.session, "SessionEpoch": -1, "Topics": []}
            try:
                self.side.quietly("Fetch", 12, body)
            except Closed:
                pass
        self.session = 0


NO_ID = uuid.UUID(int=0)
METADATA_ID = uuid.UUID(int=1)  # of the cluster's own log, in Kafka
STRANGE_ID = uuid.UUID(int=9)
