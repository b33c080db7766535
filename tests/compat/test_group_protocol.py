"""The classic group protocol answer by answer, with a bare client: what each state says to each request.

Every expectation here is what Apache Kafka 4.3.1 answers; the same file faces it by --bootstrap.
"""

import secrets
import struct
import uuid

import pytest
from confluent_kafka import Consumer, TopicPartition
from support.kafka_wire import Peer, schema, within
from support.server import wait_for

NONE, UNKNOWN_TOPIC, METADATA_TOO_LARGE, ILLEGAL_GENERATION = 0, 3, 12, 22
INCONSISTENT_PROTOCOL, INVALID_GROUP, UNKNOWN_MEMBER, INVALID_SESSION = 23, 24, 25, 26
REBALANCING, NON_EMPTY, NOT_FOUND, MEMBER_ID_REQUIRED, FENCED, SUBSCRIBED = 27, 68, 69, 79, 82, 86
UNKNOWN_TOPIC_ID, UNKNOWN_ERROR = 100, -1
JOIN_VERSIONS = range(10)


def subscription(*topics):
    """ConsumerProtocolSubscription 0."""
    data = struct.pack(">hi", 0, len(topics))
    for topic in topics:
        data += struct.pack(">h", len(topic)) + topic.encode()
    return data + struct.pack(">i", -1)


class Caller(Peer):
    """A member's connection, with the requests of one group."""

    def __init__(self, bootstrap, group, client_id="peer"):
        super().__init__(bootstrap, client_id)
        self.group = group
        self.member, self.generation, self.instance = "", -1, None

    def join_fields(self, version, member, protocols, protocol_type, session_ms, rebalance_ms):
        fields = {
            "GroupId": self.group,
            "SessionTimeoutMs": session_ms,
            "MemberId": self.member if member is None else member,
            "ProtocolType": protocol_type,
            "Protocols": [{"Name": name, "Metadata": metadata} for name, metadata in protocols],
            "RebalanceTimeoutMs": rebalance_ms,
            "GroupInstanceId": self.instance,
        }
        return {k: v for k, v in fields.items() if known("JoinGroup", version, k)}

    def send_join(
        self,
        version=9,
        member=None,
        protocols=(("range", b"m"),),
        protocol_type="consumer",
        session_ms=10000,
        rebalance_ms=30000,
    ):
        fields = self.join_fields(version, member, protocols, protocol_type, session_ms, rebalance_ms)
        self.send("JoinGroup", version, **fields)

    def joined(self):
        """The answer to a join; remembers who we are now."""
        answer = self.answer()
        if answer["ErrorCode"] in (NONE, MEMBER_ID_REQUIRED):
            self.member = answer["MemberId"]
        if answer["ErrorCode"] == NONE:
            self.generation = answer["GenerationId"]
        return answer

    def join(self, version=9, **options):
        self.send_join(version, **options)
        return self.joined()

    def enter(self, version=9, **options):
        """Join with an id of our own, as far as the first answer that says more than an id."""
        if self.join(version, **options)["ErrorCode"] == MEMBER_ID_REQUIRED:
            self.send_join(version, **options)

    def request(self, name, version, **fields):
        fields = {"GroupId": self.group, **fields}
        fields.setdefault("GenerationId", self.generation)
        fields.setdefault("MemberId", self.member)
        fields.setdefault("GroupInstanceId", self.instance)
        return {k: v for k, v in fields.items() if known(name, version, k)}

    def send_sync(self, version=5, assignments=(), **fields):
        rows = [{"MemberId": member, "Assignment": data} for member, data in assignments]
        fields.setdefault("ProtocolType", "consumer")
        fields.setdefault("ProtocolName", "range")
        self.send("SyncGroup", version, **self.request("SyncGroup", version, Assignments=rows, **fields))

    def sync(self, version=5, assignments=(), **fields):
        self.send_sync(version, assignments, **fields)
        return self.answer()

    def heartbeat(self, version=4, **fields):
        return self.ask("Heartbeat", version, **self.request("Heartbeat", version, **fields))["ErrorCode"]

    def leave(self, *members, version=5):
        rows = [{"MemberId": member, "GroupInstanceId": instance} for member, instance in members]
        answer = self.ask("LeaveGroup", version, GroupId=self.group, Members=rows)
        assert answer["ErrorCode"] == NONE
        return [row["ErrorCode"] for row in answer["Members"]]

    def commit(self, topic, offset=7, version=9, partition=0, metadata="", **fields):
        fields.setdefault("GenerationIdOrMemberEpoch", self.generation)
        rows = [{"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": metadata}]
        name = {"TopicId": topic} if version >= 10 else {"Name": topic}
        fields = self.request("OffsetCommit", version, Topics=[{**name, "Partitions": rows}], **fields)
        return self.ask("OffsetCommit", version, **fields)["Topics"][0]["Partitions"][0]["ErrorCode"]

    def describe(self):
        return self.ask("DescribeGroups", 5, Groups=[self.group])["Groups"][0]

    def state(self):
        return self.describe()["GroupState"]


def known(name, version, field):
    rows = {row["name"]: row for row in schema(name + "Request")["fields"]}
    return field in rows and within(version, rows[field]["versions"])


@pytest.fixture
def group():
    return "protocol-" + secrets.token_hex(6)


@pytest.fixture
def caller(bootstrap, group):
    """Makes connections of one group; all are closed in the end."""
    made = []

    def make(client_id="peer", of=group):
        made.append(Caller(bootstrap, of, client_id))
        return made[-1]

    first = make()
    wait_for(lambda: first.ask("FindCoordinator", 3, Key=group, KeyType=0)["ErrorCode"] == 0, what="the coordinator")
    wait_for(lambda: first.heartbeat(GenerationId=1, MemberId="x") == UNKNOWN_MEMBER, what="loaded groups")
    yield make
    for peer in made:
        peer.close()


@pytest.fixture
def topic(bootstrap):
    name = "protocol-" + secrets.token_hex(6)
    with Peer(bootstrap) as peer:
        peer.ask(
            "CreateTopics", 5, Topics=[{"Name": name, "NumPartitions": 2, "ReplicationFactor": 1}], TimeoutMs=10000
        )
        wait_for(
            lambda: peer.ask("Metadata", 12, Topics=[{"Name": name}])["Topics"][0]["ErrorCode"] == 0, what="the topic"
        )
    return name


def stable(peer, version=9, assignment=b"all", **options):
    """The only member, with its assignment."""
    peer.enter(version, **options)
    if peer.sent:
        peer.joined()
    protocols = options.get("protocols", (("range", b"m"),))
    fields = {"ProtocolName": protocols[0][0], "ProtocolType": options.get("protocol_type", "consumer")}
    answer = peer.sync(assignments=[(peer.member, assignment)], **fields)
    assert answer["ErrorCode"] == NONE and answer["Assignment"] == assignment
    return peer


def until_rebalancing(peer, version=4):
    """Another connection's join is under way."""
    wait_for(lambda: peer.heartbeat(version) == REBALANCING, what="the rebalance")


def two(caller):
    """A leader and a follower, both in a Stable generation."""
    leader, follower = stable(caller()), caller()
    follower.enter()
    until_rebalancing(leader)
    leader.join()
    follower.joined()
    follower.send_sync()
    assert leader.sync(assignments=[(leader.member, b"l"), (follower.member, b"f")])["Assignment"] == b"l"
    assert follower.answer()["Assignment"] == b"f"
    return leader, follower


# ---- JoinGroup


@pytest.mark.parametrize("version", JOIN_VERSIONS)
def test_join__g40_newcomer_needs_a_member_id_from_version_4(caller, version):
    peer = caller("who-am-i")
    answer = peer.join(version)
    if version < 4:
        assert answer["ErrorCode"] == NONE and answer["GenerationId"] == 1
    else:
        assert answer["ErrorCode"] == MEMBER_ID_REQUIRED and answer["GenerationId"] == -1
        assert answer["Leader"] == "" and answer["Members"] == []
        wait_for(lambda: peer.state() == "Empty", what="the group")
        answer = peer.join(version)
        assert answer["ErrorCode"] == NONE and answer["GenerationId"] == 1
    assert answer["MemberId"].startswith("who-am-i-") and answer["Leader"] == answer["MemberId"]
    assert [row["MemberId"] for row in answer["Members"]] == [peer.member]
    assert answer["Members"][0]["Metadata"] == b"m" and answer["ProtocolName"] == "range"


@pytest.mark.parametrize("version", JOIN_VERSIONS)
def test_join__wrong_input(caller, version):
    peer, nameless = caller(), caller(of="")

    def refused(of=peer, **options):
        answer = of.join(version, **options)
        assert answer["GenerationId"] == -1 and answer["Leader"] == "" and answer["Members"] == []
        assert answer["ProtocolName"] == (None if version >= 7 else "")
        return answer["ErrorCode"], answer["MemberId"]

    assert refused(nameless) == (INVALID_GROUP, "")
    assert refused(member="x") == (UNKNOWN_MEMBER, "x")
    assert refused(session_ms=1) == (INVALID_SESSION, "")
    assert refused(session_ms=1, member="x") == (INVALID_SESSION, "x")
    assert refused(session_ms=2000000) == (INVALID_SESSION, "")
    assert refused(protocols=()) == (INCONSISTENT_PROTOCOL, "")
    assert refused(protocol_type="") == (INCONSISTENT_PROTOCOL, "")
    assert refused(protocol_type="", member="x") == (INCONSISTENT_PROTOCOL, "x")


def test_join__g41_barrier_waits_for_all_and_only_the_leader_gets_the_members(caller):
    leader, follower = stable(caller()), caller()
    follower.enter()
    until_rebalancing(leader)
    assert leader.state() == "PreparingRebalance"
    assert not follower.answered()
    answers = leader.join(), follower.joined()
    assert [a["GenerationId"] for a in answers] == [2, 2]
    assert {row["MemberId"] for row in answers[0]["Members"]} == {leader.member, follower.member}
    assert answers[1]["Members"] == [] and answers[1]["Leader"] == leader.member
    assert leader.state() == "CompletingRebalance"


def test_join__g41_protocol_is_chosen_by_vote(caller):
    one, two_, three = caller(), caller(), caller()
    stable(one, protocols=(("a", b"1"), ("b", b"1")))
    two_.enter(protocols=(("b", b"2"), ("a", b"2")))
    one.join(protocols=(("a", b"1"), ("b", b"1")))
    two_.joined()
    three.enter(protocols=(("b", b"3"), ("a", b"3")))
    until_rebalancing(one)
    one.send_join(protocols=(("a", b"1"), ("b", b"1")))
    two_.send_join(protocols=(("b", b"2"), ("a", b"2")))
    answers = one.joined(), two_.joined(), three.joined()
    assert [a["ProtocolName"] for a in answers] == ["b"] * 3
    assert {row["Metadata"] for row in answers[0]["Members"]} == {b"1", b"2", b"3"}
    stranger = caller()
    assert stranger.join(protocols=(("c", b""),))["ErrorCode"] == INCONSISTENT_PROTOCOL
    assert stranger.join(protocols=(("a", b""),), protocol_type="connect")["ErrorCode"] == INCONSISTENT_PROTOCOL


def test_join__the_only_member_cannot_change_to_an_unknown_protocol(caller):
    peer = stable(caller())
    answer = peer.join(protocols=(("other", b"m"),))
    assert (answer["ErrorCode"], answer["MemberId"]) == (INCONSISTENT_PROTOCOL, peer.member)
    assert peer.join(protocol_type="connect")["ErrorCode"] == INCONSISTENT_PROTOCOL
    assert peer.heartbeat() == NONE


def test_join__g46_follower_with_the_same_metadata_changes_nothing(caller):
    leader, follower = two(caller)
    answer = follower.join()
    assert answer["ErrorCode"] == NONE and answer["GenerationId"] == 2 and answer["Members"] == []
    assert follower.state() == "Stable" and leader.heartbeat() == NONE


def test_join__g46_follower_with_other_owned_partitions_rebalances(caller):
    """Cooperative-sticky's second round: what a member owns is in its metadata."""
    leader, follower = two(caller)
    follower.send_join(protocols=(("range", b"other"),))
    until_rebalancing(leader)
    assert leader.join()["GenerationId"] == 3 and follower.joined()["GenerationId"] == 3


def test_join__g46_leader_always_rebalances(caller):
    leader, follower = two(caller)
    leader.send_join()
    until_rebalancing(follower)
    follower.join()
    assert leader.joined()["GenerationId"] == 3


def test_join__again_during_completing_rebalance_gets_the_same_answer(caller):
    peer = caller()
    peer.enter()
    peer.joined()
    answer = peer.join()
    assert answer["ErrorCode"] == NONE and answer["GenerationId"] == 1
    assert [row["MemberId"] for row in answer["Members"]] == [peer.member]


def test_join__g41_who_does_not_rejoin_in_time_is_out(caller):
    leader, follower = caller(), caller()
    stable(leader, rebalance_ms=600)
    follower.enter(rebalance_ms=600)
    until_rebalancing(leader)
    answer = follower.joined()  # at the end of the rebalance timeout
    assert answer["Leader"] == follower.member and answer["GenerationId"] == 2
    assert leader.heartbeat() == UNKNOWN_MEMBER


# ---- Heartbeat, SyncGroup, LeaveGroup


@pytest.mark.parametrize("version", range(5))
def test_heartbeat__g42_by_state(caller, version):
    peer, second = caller(), caller()
    assert peer.heartbeat(version, GenerationId=1, MemberId="x") == UNKNOWN_MEMBER
    assert caller(of="").heartbeat(version, GenerationId=1, MemberId="x") == INVALID_GROUP
    peer.enter()
    peer.joined()
    assert peer.heartbeat(version) == NONE  # CompletingRebalance
    peer.sync()
    assert peer.heartbeat(version) == NONE
    assert peer.heartbeat(version, GenerationId=7) == ILLEGAL_GENERATION
    assert peer.heartbeat(version, MemberId="x") == UNKNOWN_MEMBER
    second.enter()
    until_rebalancing(peer, version)
    assert peer.heartbeat(version, GenerationId=7) == ILLEGAL_GENERATION


@pytest.mark.parametrize("version", range(6))
def test_sync__by_state(caller, version):
    peer, second = caller(), caller()
    assert peer.sync(version, GenerationId=1, MemberId="x")["ErrorCode"] == UNKNOWN_MEMBER
    peer.enter()
    peer.joined()
    assert peer.sync(version, GenerationId=7)["ErrorCode"] == ILLEGAL_GENERATION
    assert peer.sync(version, MemberId="x")["ErrorCode"] == UNKNOWN_MEMBER
    if version >= 5:  # G44
        assert peer.sync(version, ProtocolType="connect")["ErrorCode"] == INCONSISTENT_PROTOCOL
        assert peer.sync(version, ProtocolName="other")["ErrorCode"] == INCONSISTENT_PROTOCOL
        assert peer.sync(version, ProtocolName=None)["ErrorCode"] == INCONSISTENT_PROTOCOL
    answer = peer.sync(version, assignments=[(peer.member, b"mine"), ("nobody", b"x")])
    assert answer["ErrorCode"] == NONE and answer["Assignment"] == b"mine"
    assert peer.sync(version)["Assignment"] == b"mine"  # Stable: again
    second.enter()
    wait_for(lambda: peer.state() == "PreparingRebalance", what="the rebalance")
    answer = peer.sync(version)
    assert answer["ErrorCode"] == REBALANCING and answer["Assignment"] == b""


def test_sync__g44_leader_that_never_syncs_is_put_out(caller):
    leader, follower = caller(), caller()
    stable(leader, rebalance_ms=700)
    follower.enter(rebalance_ms=700)
    leader.join(rebalance_ms=700)
    follower.joined()
    assert follower.sync()["ErrorCode"] == REBALANCING  # when the time is up
    assert leader.heartbeat() == UNKNOWN_MEMBER
    answer = follower.join(rebalance_ms=700)
    assert answer["Leader"] == follower.member and len(answer["Members"]) == 1


def test_sync__g44_follower_that_never_syncs_is_put_out(caller):
    leader, follower = caller(), caller()
    stable(leader, rebalance_ms=700)
    follower.enter(rebalance_ms=700)
    leader.join(rebalance_ms=700)
    follower.joined()
    assert leader.sync(assignments=[(leader.member, b"l")])["ErrorCode"] == NONE
    until_rebalancing(leader)
    assert len(leader.join(rebalance_ms=700)["Members"]) == 1
    assert follower.heartbeat() == UNKNOWN_MEMBER


@pytest.mark.parametrize("version", range(3))
def test_leave__g8_old_versions_tell_the_error_at_the_top(caller, version):
    peer, nameless = caller(), caller(of="")
    assert peer.ask("LeaveGroup", version, GroupId=peer.group, MemberId="x")["ErrorCode"] == UNKNOWN_MEMBER
    assert nameless.ask("LeaveGroup", version, GroupId="", MemberId="x")["ErrorCode"] == INVALID_GROUP
    stable(peer)
    assert peer.ask("LeaveGroup", version, GroupId=peer.group, MemberId=peer.member)["ErrorCode"] == NONE
    assert peer.state() == "Empty"


@pytest.mark.parametrize("version", [3, 4, 5])
def test_leave__g45_several_members_by_id_and_by_instance(caller, version):
    peer = caller()
    answer = peer.ask("LeaveGroup", version, GroupId="", Members=[{"MemberId": "x"}])
    assert answer["ErrorCode"] == INVALID_GROUP and answer["Members"] == []
    assert peer.leave(("x", None), ("", "i"), version=version) == [UNKNOWN_MEMBER] * 2
    assert peer.leave(version=version) == []
    peer.instance = "i"
    stable(peer)
    assert peer.leave(("x", "i"), ("", "j"), (peer.member, "j"), version=version) == [
        FENCED,
        UNKNOWN_MEMBER,
        UNKNOWN_MEMBER,
    ]
    assert peer.leave(("", "i"), (peer.member, None), version=version) == [NONE, UNKNOWN_MEMBER]
    assert peer.state() == "Empty"


def test_leave__g40_who_was_given_an_id_but_has_not_joined(caller):
    peer = caller()
    assert peer.join()["ErrorCode"] == MEMBER_ID_REQUIRED
    assert peer.leave((peer.member, None)) == [NONE]
    assert peer.join()["ErrorCode"] == UNKNOWN_MEMBER


def test_leave__the_rest_goes_on_without(caller):
    leader, follower = two(caller)
    assert leader.leave((leader.member, None)) == [NONE]
    until_rebalancing(follower)
    answer = follower.join()
    assert answer["GenerationId"] == 3 and answer["Leader"] == follower.member


def test_empty_group__tells_its_last_member_to_begin_anew(caller, topic):
    peer = stable(caller())
    peer.leave((peer.member, None))
    assert peer.heartbeat(GenerationId=2) == UNKNOWN_MEMBER
    assert peer.sync(GenerationId=2)["ErrorCode"] == UNKNOWN_MEMBER
    assert peer.join()["ErrorCode"] == UNKNOWN_MEMBER
    assert peer.commit(topic, GenerationIdOrMemberEpoch=2) == UNKNOWN_MEMBER
    assert peer.commit(topic, GenerationIdOrMemberEpoch=-1) == NONE
    described = peer.describe()
    assert (described["GroupState"], described["ProtocolType"], described["ProtocolData"]) == ("Empty", "consumer", "")


# ---- static members (KIP-345)


def returned(caller, instance="i"):
    peer = caller()
    peer.instance = instance
    return peer


@pytest.mark.parametrize("version", [5, 8, 9])
def test_static_member__g45_returns_without_a_rebalance(caller, version):
    old = stable(returned(caller), version)
    assert old.member.startswith("i-")
    new = returned(caller)
    answer = new.join(version, protocols=(("range", b"other metadata"),), session_ms=12000)
    assert answer["ErrorCode"] == NONE and answer["GenerationId"] == 1 and new.member != old.member
    if version < 9:  # it is told its old id, so it takes somebody else to lead
        assert answer["Leader"] == old.member and answer["Members"] == []
    else:  # KIP-814
        assert answer["Leader"] == new.member and answer["SkipAssignment"]
        assert [row["Metadata"] for row in answer["Members"]] == [b"other metadata"]
    assert new.sync()["Assignment"] == b"all"
    assert new.state() == "Stable" and new.heartbeat() == NONE


def test_static_member__g45_old_id_is_fenced(caller, topic):
    old = stable(returned(caller))
    new = returned(caller)
    new.join()
    assert old.heartbeat() == FENCED and old.sync()["ErrorCode"] == FENCED
    assert old.join()["ErrorCode"] == FENCED and old.commit(topic) == FENCED
    assert old.leave((old.member, "i")) == [FENCED]
    assert old.heartbeat(GroupInstanceId=None) == UNKNOWN_MEMBER
    assert new.heartbeat(GroupInstanceId="j") == UNKNOWN_MEMBER
    assert new.heartbeat(GroupInstanceId=None) == NONE


def test_static_member__g45_returns_to_the_same_place_in_the_description(caller):
    stable(returned(caller))
    new = caller("another client")
    new.instance = "i"
    new.join(protocols=(("range", b"other"),))
    row = new.describe()["Members"][0]
    assert (row["MemberId"], row["GroupInstanceId"], row["MemberMetadata"]) == (new.member, "i", b"other")
    assert row["MemberAssignment"] == b"all" and row["ClientId"] == "peer"


def test_static_member__g45_that_changes_the_protocol_rebalances(caller):
    peer = returned(caller)
    stable(peer, protocols=(("a", b""), ("b", b"")))
    other = caller()
    other.enter(protocols=(("a", b""), ("b", b"")))
    peer.join(protocols=(("a", b""), ("b", b"")))
    other.joined()
    peer.send_sync(ProtocolName="a")
    other.sync(ProtocolName="a")
    peer.answer()
    new = returned(caller)
    new.send_join(protocols=(("b", b""),))
    until_rebalancing(other)
    other.join(protocols=(("a", b""), ("b", b"")))
    assert new.joined()["ProtocolName"] == "b"


def test_static_member__g45_returns_during_completing_rebalance(caller):
    """KAFKA-9801: the leader may already have assigned to the old id."""
    leader, old = stable(caller()), returned(caller)
    old.send_join()
    until_rebalancing(leader)
    leader.join()
    old.joined()
    old.send_sync()
    wait_for(lambda: leader.state() == "CompletingRebalance", what="the generation")
    new = returned(caller)
    new.send_join()
    assert old.answer()["ErrorCode"] == FENCED
    assert leader.sync(assignments=[(old.member, b"x")])["ErrorCode"] == REBALANCING
    assert leader.join()["GenerationId"] == 3
    assert new.joined()["GenerationId"] == 3 and old.heartbeat() == FENCED


def test_static_member__g45_parked_join_of_the_old_one_is_fenced(caller):
    leader, old, new = stable(caller()), returned(caller), returned(caller)
    old.send_join()
    until_rebalancing(leader)
    new.send_join()
    answer = old.answer()
    assert answer["ErrorCode"] == FENCED and answer["GenerationId"] == -1
    leader.join()
    assert new.joined()["GenerationId"] == 2


def test_static_member__known_id_joins_again(caller):
    peer = stable(returned(caller))
    answer = peer.join()  # it leads, so this is a rebalance
    assert answer["ErrorCode"] == NONE and answer["GenerationId"] == 2 and answer["MemberId"] == peer.member


# ---- offsets


@pytest.mark.parametrize("version", range(2, 10))
def test_commit__g43_by_state(caller, topic, version):
    peer, second = caller(), caller()
    unknown = NOT_FOUND if version >= 9 else ILLEGAL_GENERATION
    assert peer.commit(topic, version=version, GenerationIdOrMemberEpoch=5, MemberId="x") == unknown
    assert peer.commit(topic, version=version) == NONE  # a simple consumer
    assert peer.commit(topic, version=version, MemberId="whoever") == NONE
    peer.enter()
    peer.joined()
    assert peer.commit(topic, version=version) == REBALANCING
    peer.sync()
    assert peer.commit(topic, version=version) == NONE
    assert peer.commit(topic, version=version, GenerationIdOrMemberEpoch=-1, MemberId="") == UNKNOWN_MEMBER
    assert peer.commit(topic, version=version, GenerationIdOrMemberEpoch=-1) == ILLEGAL_GENERATION
    assert peer.commit(topic, version=version, GenerationIdOrMemberEpoch=7) == ILLEGAL_GENERATION
    assert peer.commit(topic, version=version, MemberId="x") == UNKNOWN_MEMBER
    second.enter()
    until_rebalancing(peer)
    assert peer.commit(topic, version=version) == NONE  # on revoke


@pytest.mark.parametrize("version", range(2, 10))
def test_commit__topics_and_metadata(caller, topic, version):
    peer = caller()
    assert peer.commit("no-" + topic, version=version) == UNKNOWN_TOPIC
    assert peer.commit(topic, version=version, partition=2) == UNKNOWN_TOPIC
    # A wrong topic is said before a wrong group.
    assert peer.commit(topic, version=version, partition=2, GenerationIdOrMemberEpoch=5) == UNKNOWN_TOPIC
    for text, expected in (
        ("x" * 4096, NONE),
        ("x" * 4097, METADATA_TOO_LARGE),
        ("\u00fc" * 4096, NONE),
        ("\u00fc" * 4097, METADATA_TOO_LARGE),
        ("\U0001f600" * 2048, NONE),
        ("\U0001f600" * 2049, METADATA_TOO_LARGE),
    ):
        assert peer.commit(topic, version=version, metadata=text) == expected
    assert peer.commit(topic, version=version, offset=-5, metadata=None, partition=1) == NONE


def test_commit__version_10_by_topic_id(caller, topic):
    peer = caller()
    topic_id = peer.ask("Metadata", 12, Topics=[{"Name": topic}])["Topics"][0]["TopicId"]
    assert peer.commit(topic_id, version=10, GenerationIdOrMemberEpoch=5, MemberId="x") == NOT_FOUND
    assert peer.commit(topic_id, version=10) == NONE
    assert peer.commit(topic_id, version=10, partition=2) == UNKNOWN_TOPIC
    assert peer.commit(uuid.uuid4(), version=10) == UNKNOWN_TOPIC_ID
    assert peer.commit(uuid.UUID(int=0), version=10) == UNKNOWN_TOPIC_ID
    group = {
        "GroupId": peer.group,
        "Topics": [
            {"TopicId": topic_id, "PartitionIndexes": [0, 9]},
            {"TopicId": uuid.UUID(int=5), "PartitionIndexes": [0]},
        ],
    }
    found = peer.ask("OffsetFetch", 10, Groups=[group, {"GroupId": peer.group, "Topics": None}])["Groups"]
    assert [g["ErrorCode"] for g in found] == [0, 0]
    rows = [(t["TopicId"], p["CommittedOffset"], p["ErrorCode"]) for t in found[0]["Topics"] for p in t["Partitions"]]
    assert rows == [(topic_id, 7, 0), (topic_id, -1, 0), (uuid.UUID(int=5), -1, UNKNOWN_TOPIC_ID)]
    assert [(t["TopicId"], len(t["Partitions"])) for t in found[1]["Topics"]] == [(topic_id, 1)]


def test_commit__larger_than_a_batch_may_be(caller, topic):
    peer = caller()
    rows = [{"PartitionIndex": 0, "CommittedOffset": 5, "CommittedMetadata": "m" * 4096}] * 400
    topics = [{"Name": topic, "Partitions": rows}]
    answer = peer.ask("OffsetCommit", 8, GroupId=peer.group, GenerationIdOrMemberEpoch=-1, MemberId="", Topics=topics)
    assert {p["ErrorCode"] for p in answer["Topics"][0]["Partitions"]} == {UNKNOWN_ERROR}
    assert peer.commit(topic) == NONE


def test_sync__assignment_larger_than_a_batch_may_be(caller):
    peer = caller()
    peer.enter()
    peer.joined()
    assert peer.sync(assignments=[(peer.member, b"x" * 2000000)])["ErrorCode"] == UNKNOWN_ERROR
    assert peer.join()["GenerationId"] == 2
    assert peer.sync(assignments=[(peer.member, b"x")])["Assignment"] == b"x"


def test_commit__the_empty_group_id_is_one_too(caller, topic):
    peer = caller(of="")
    assert peer.commit(topic, offset=9) == NONE
    found = peer.ask("OffsetFetch", 5, GroupId="", Topics=[{"Name": topic, "PartitionIndexes": [0]}])
    assert found["Topics"][0]["Partitions"][0]["CommittedOffset"] == 9
    assert peer.ask("DeleteGroups", 2, GroupsNames=[""])["Results"][0]["ErrorCode"] == NONE


@pytest.mark.parametrize("version", range(1, 10))
def test_fetch__g48_known_and_unknown(caller, topic, version):
    peer = caller()
    partition = {"PartitionIndex": 0, "CommittedOffset": 7, "CommittedLeaderEpoch": 3, "CommittedMetadata": "note"}
    peer.ask(
        "OffsetCommit",
        6,
        GroupId=peer.group,
        GenerationIdOrMemberEpoch=-1,
        MemberId="",
        Topics=[{"Name": topic, "Partitions": [partition]}],
    )

    def fetch(group, topics):
        if version < 8:
            return peer.ask("OffsetFetch", version, GroupId=group, Topics=topics)
        return peer.ask("OffsetFetch", version, Groups=[{"GroupId": group, "Topics": topics}])["Groups"][0]

    def rows(answer):
        assert answer.get("ErrorCode", 0) == NONE
        epoch = -1 if version < 5 else 3
        found = [
            (t["Name"], p["PartitionIndex"], p["CommittedOffset"], p["Metadata"], p["ErrorCode"])
            for t in answer["Topics"]
            for p in t["Partitions"]
        ]
        for t in answer["Topics"]:
            for p in t["Partitions"]:
                assert p.get("CommittedLeaderEpoch", -1) == (epoch if p["CommittedOffset"] == 7 else -1)
        return found

    asked = [{"Name": topic, "PartitionIndexes": [0, 1, 9]}, {"Name": "no-" + topic, "PartitionIndexes": [0]}]
    assert rows(fetch(peer.group, asked)) == [
        (topic, 0, 7, "note", 0),
        (topic, 1, -1, "", 0),
        (topic, 9, -1, "", 0),
        ("no-" + topic, 0, -1, "", 0),
    ]
    assert rows(fetch("no-" + peer.group, asked[:1])) == [(topic, p, -1, "", 0) for p in (0, 1, 9)]
    if version >= 2:
        assert rows(fetch(peer.group, None)) == [(topic, 0, 7, "note", 0)]
        assert rows(fetch("no-" + peer.group, None)) == []
        assert rows(fetch(peer.group, [])) == []


def test_fetch__g48_several_groups_and_require_stable(caller, topic):
    peer = caller()
    peer.commit(topic)
    groups = [
        {"GroupId": peer.group, "Topics": None, "MemberId": "x", "MemberEpoch": 4},
        {"GroupId": "no-" + peer.group, "Topics": None, "MemberId": "x", "MemberEpoch": 4},
        {"GroupId": peer.group, "Topics": [{"Name": topic, "PartitionIndexes": [0]}]},
    ]
    found = peer.ask("OffsetFetch", 9, Groups=groups, RequireStable=True)["Groups"]
    assert [(g["GroupId"], g["ErrorCode"], len(g["Topics"])) for g in found] == [
        (peer.group, 0, 1),
        ("no-" + peer.group, 0, 0),
        (peer.group, 0, 1),
    ]


def delete_offsets(peer, *topics, group=None):
    rows = [{"Name": name, "Partitions": [{"PartitionIndex": p} for p in parts]} for name, parts in topics]
    answer = peer.ask("OffsetDelete", 0, GroupId=peer.group if group is None else group, Topics=rows)
    found = {(t["Name"], p["PartitionIndex"]): p["ErrorCode"] for t in answer["Topics"] for p in t["Partitions"]}
    return answer["ErrorCode"], found


def test_offset_delete__by_state(caller, topic):
    peer = caller()
    assert delete_offsets(peer, (topic, [0])) == (NOT_FOUND, {})
    assert delete_offsets(peer, (topic, [0]), group="") == (INVALID_GROUP, {})
    peer.commit(topic)
    expected = {(topic, 0): 0, (topic, 1): 0, (topic, 9): UNKNOWN_TOPIC, ("no-" + topic, 0): UNKNOWN_TOPIC}
    assert delete_offsets(peer, (topic, [0, 1, 9]), ("no-" + topic, [0])) == (NONE, expected)
    assert peer.ask("OffsetFetch", 5, GroupId=peer.group, Topics=None)["Topics"] == []
    stable(peer, protocols=(("range", subscription("other")),))
    assert delete_offsets(peer, (topic, [0])) == (NONE, {(topic, 0): 0})
    assert peer.leave((peer.member, None)) == [NONE]


def test_offset_delete__topics_that_are_subscribed(caller, topic):
    peer = stable(caller(), protocols=(("range", subscription("other", topic)),))
    assert delete_offsets(peer, (topic, [0])) == (NONE, {(topic, 0): SUBSCRIBED})
    unreadable = stable(caller(of=peer.group + "-u"), protocols=(("range", b"m"),))
    assert delete_offsets(unreadable, (topic, [0])) == (NONE, {(topic, 0): SUBSCRIBED})
    connect = stable(caller(of=peer.group + "-c"), protocol_type="connect")
    assert delete_offsets(connect, (topic, [0])) == (NON_EMPTY, {})


# ---- DescribeGroups, ListGroups, DeleteGroups


@pytest.mark.parametrize("version", range(7))
def test_describe__g50_by_state(caller, version):
    peer = caller("describer")
    asked = {"IncludeAuthorizedOperations": True} if version >= 3 else {}

    def described():
        return peer.ask("DescribeGroups", version, Groups=[peer.group], **asked)["Groups"][0]

    row = described()
    assert row["GroupState"] == "Dead" and row["Members"] == []
    assert row["ErrorCode"] == (NOT_FOUND if version >= 6 else NONE)
    if version >= 6:
        assert row["ErrorMessage"] == f"Group {peer.group} not found."
    peer.enter()
    peer.joined()
    row = described()
    assert (row["GroupState"], row["ProtocolType"], row["ProtocolData"]) == ("CompletingRebalance", "consumer", "")
    assert (row["Members"][0]["MemberMetadata"], row["Members"][0]["MemberAssignment"]) == (b"", b"")
    peer.sync(assignments=[(peer.member, b"\x00\xff")])
    row = described()
    assert (row["GroupState"], row["ProtocolType"], row["ProtocolData"]) == ("Stable", "consumer", "range")
    member = row["Members"][0]
    assert (member["MemberId"], member["ClientId"], member["ClientHost"]) == (peer.member, "describer", "/127.0.0.1")
    assert (member["MemberMetadata"], member["MemberAssignment"]) == (b"m", b"\x00\xff")
    if version >= 3:
        assert row["AuthorizedOperations"] == 3400
    assert peer.join()["ErrorCode"] == NONE
    member = described()["Members"][0]  # holds what it was given until it is given more
    assert (member["MemberMetadata"], member["MemberAssignment"]) == (b"", b"\x00\xff")


@pytest.mark.parametrize("version", range(6))
def test_list__filters(caller, topic, version):
    peer, simple = stable(caller()), caller()
    simple.group += "-simple"
    simple.commit(topic)

    def listed(**filters):
        answer = peer.ask("ListGroups", version, **filters)
        assert answer["ErrorCode"] == NONE
        return sorted(tuple(row.values()) for row in answer["Groups"] if peer.group in row["GroupId"])

    def extra(state):
        return ((state,) if version >= 4 else ()) + (("classic",) if version >= 5 else ())

    mine = (peer.group, "consumer", *extra("Stable"))
    other = (simple.group, "", *extra("Empty"))
    assert listed() == [mine, other]
    if version >= 4:
        assert listed(StatesFilter=["sTABLE", "nonsense"]) == [mine]
        assert listed(StatesFilter=["Empty"]) == [other]
        assert listed(StatesFilter=["nonsense"]) == []
    if version >= 5:
        assert listed(TypesFilter=["Classic"]) == [mine, other]
        assert listed(TypesFilter=["consumer"]) == [] and listed(TypesFilter=["nonsense"]) == []


@pytest.mark.parametrize("version", range(3))
def test_delete__only_what_is_empty(caller, topic, version):
    peer = stable(caller())
    peer.commit(topic)
    names = [peer.group, "no-" + peer.group, peer.group]

    def deleted():
        return {r["GroupId"]: r["ErrorCode"] for r in peer.ask("DeleteGroups", version, GroupsNames=names)["Results"]}

    assert deleted() == {peer.group: NON_EMPTY, "no-" + peer.group: NOT_FOUND}
    assert peer.leave((peer.member, None)) == [NONE]
    assert deleted() == {peer.group: NONE, "no-" + peer.group: NOT_FOUND}
    assert peer.state() == "Dead"
    assert peer.ask("OffsetFetch", 5, GroupId=peer.group, Topics=None)["Topics"] == []


# ---- __consumer_offsets, as any client sees it


def place_of(group):
    """Kafka's partition of a group: abs(String.hashCode()) % 50."""
    code = 0
    for letter in group:
        code = (31 * code + ord(letter)) & 0xFFFFFFFF
    return abs(code - (1 << 32) if code >> 31 else code) % 50


def written(bootstrap, group, until):
    """Records of the group in its partition, as (key, value), until one is as wanted."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([TopicPartition("__consumer_offsets", place_of(group), 0)])
    found = []

    def more():
        found.extend((m.key(), m.value()) for m in consumer.consume(100, 0.1) if group.encode() in m.key())
        return any(until(*record) for record in found)

    wait_for(more, what="the record")
    consumer.close()
    return found


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


def test_offset_record__is_kafkas_own(bootstrap, caller, topic):
    peer = caller()
    peer.commit(topic, offset=7, metadata="note")
    topic_id = peer.ask("Metadata", 12, Topics=[{"Name": topic}])["Topics"][0]["TopicId"]
    key = struct.pack(">h", 1) + text(peer.group) + text(topic) + struct.pack(">i", 0)
    value = dict(written(bootstrap, peer.group, lambda k, v: k == key))[key]
    assert value[:14] == struct.pack(">hqi", 4, 7, -1)
    assert value[14:19] == b"\x05note"  # a compact string, then the time of the commit
    assert value[27:] == b"\x01\x00\x10" + topic_id.bytes
    delete_offsets(peer, (topic, [0]))
    written(bootstrap, peer.group, lambda k, v: k == key and v is None)


def test_group_record__is_kafkas_own(bootstrap, caller):
    peer = caller("recorded")
    peer.instance = "i"
    stable(peer, assignment=b"all", session_ms=11000)
    key = struct.pack(">h", 2) + text(peer.group)
    found = written(bootstrap, peer.group, lambda k, v: k == key and v and b"all" in v)
    value = next(v for k, v in found if k == key and v and b"all" in v)
    head = struct.pack(">h", 3) + text("consumer") + struct.pack(">i", 1) + text("range") + text(peer.member)
    assert value.startswith(head)
    member = text(peer.member) + text("i") + text("recorded") + text("/127.0.0.1") + struct.pack(">ii", 30000, 11000)
    rest = value[len(head) + 8 :]  # behind the time of the state
    assert rest == struct.pack(">i", 1) + member + struct.pack(">i", 1) + b"m" + struct.pack(">i", 3) + b"all"
    peer.leave(("", "i"))
    assert peer.ask("DeleteGroups", 2, GroupsNames=[peer.group])["Results"][0]["ErrorCode"] == NONE
    written(bootstrap, peer.group, lambda k, v: k == key and v is None)
