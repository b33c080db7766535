"""Values for the fields of requests: good, borderline and wrong ones, with names that exist on both brokers.

A pool is a function of the world and has as many entries on both sides, so that one draw picks the same meaning from
each.
"""

from ..peer import NOW_MS
from ..scenario import batch
from .world import LONG_MS, METADATA_ID, NO_ID, STRANGE_ID, subscription

EDGES = {
    "int8": (-128, 127),
    "int16": (-32768, 32767),
    "uint16": (0, 65535),
    "int32": (-(1 << 31), (1 << 31) - 1),
    "uint32": (0, (1 << 32) - 1),
    "int64": (-(1 << 63), (1 << 63) - 1),
}
# At their edges these wait, or ask for what no broker has memory for. Ids of sessions beyond those that it draws make
# Kafka 4.3.1 fall over the table of its shards (error -1), and it adds up partitions in 32 bits.
NO_EDGES = {"Acks", "SessionId", "MaxWaitMs", "TimeoutMs", "SessionTimeoutMs", "RebalanceTimeoutMs"}
NO_EDGES |= {"NumPartitions", "Count", "TransactionTimeoutMs", "RetentionTimeMs"}
PARTITIONS = (0, 0, 0, 1, 1, 2, 9, -1)


def topics(w):
    good = [w.topic("r")] * 5 + [w.topic("s")] * 2
    return good + [w.topic("missing"), w.topic("gone"), "a/b", "", ".", "x" * 250, w.topic("é"), w.topic("\udcff")]


def spent_topics(w):
    return [w.spent("t")] * 5 + [w.spent("u")] * 2 + [w.topic("missing"), w.topic("gone"), "a/b", ""]


def new_topics(w):
    names = [w.spent(f"new-{i}") for i in range(12)]
    longest = w.topic("").ljust(249, "x")
    return names + [w.topic("r"), names[0].replace(".", "_"), "a/b", "", "..", longest, longest + "x", w.topic("é")]


def known_topics(w):
    """Below version 4, Metadata makes what is missing."""
    return [w.topic("r"), w.topic("r"), w.topic("s"), "a/b", "", "x" * 250]


def ids(w):
    there = [w.ids["r"]] * 5 + [w.ids["s"]] * 2
    return there + [w.ids["gone"], NO_ID, STRANGE_ID, METADATA_ID]


def groups(w):
    there = [w.spent("busy")] * 4 + [w.spent("fixed")] * 2 + [w.spent("simple")] * 2
    return there + [w.topic("dead"), "", w.topic("g" * 300), w.topic("no UTF-8: \udce2\udc82 ")]


def joined_groups(w):
    """Each newcomer has a group of its own, since one in the group of another would wait for that."""
    w.newcomers += 1
    own = w.spent(f"join-{w.newcomers}")
    return [own] * 5 + [w.last_group] * 3 + [w.spent("busy"), w.spent("fixed"), ""]


def joining_members(w, group):
    if group in (w.last_group, w.spent("busy"), w.spent("fixed")):
        return [w.last_member, w.last_member, w.last_member, w.member, w.static, "x"]
    return ["", "", "", "", "", w.last_member]


def members(w):
    return [w.member, w.member, w.static, w.last_member, "", "", "x", "m" * 300]


def some(*values):
    return lambda w: values


STRINGS = {
    "Topic": topics,
    "TopicName": topics,
    "TopicNames": spent_topics,
    "GroupId": groups,
    "GroupsNames": groups,
    "Groups": groups,
    "Key": groups,
    "CoordinatorKeys": groups,
    "MemberId": members,
    "GroupInstanceId": some("static", "static", "other", "", "bad/name"),
    "ProtocolType": some("consumer", "consumer", "consumer", "", "x"),
    "ProtocolName": some("range", "range", "range", "", "x"),
    "StatesFilter": some("Empty", "Stable", "stable", "Dead", "PreparingRebalance", "x", ""),
    "TypesFilter": some("classic", "Classic", "consumer", "share", "x", ""),
    "CommittedMetadata": some("m", "", "m" * 4096, "m" * 4097),
    "Feature": some("metadata.version", "metadata.version", "x", ""),
    "ConfigurationKeys": some("retention.ms", "cleanup.policy", "x", ""),
    "ClientSoftwareName": some("diff", "diff", "", "-diff", "d.f-1", "d_f", "é", "d" * 300),
    "ClientSoftwareVersion": some("1", "1.0", "", "1.0.", "é", "d" * 300),
    "RackId": some("", "rack"),
    "Reason": some("", "why", "w" * 300),
    "ClusterId": some("x", ""),
    "Path": lambda w: [w.folder, w.folder, w.folder, "/nowhere", "", "relative"],
    "TransactionalId": some(""),
}
NAMES = {
    "CreateTopics": new_topics,
    "CreatePartitions": spent_topics,
    "DeleteRecords": spent_topics,
    "DeleteTopics": spent_topics,
}
RESOURCES = {
    2: topics,
    4: some("77", "x"),  # the configs of the node itself have scenarios of their own
    32: lambda w: [w.topic("g"), ""],
}
CONFIG_NAMES = some("retention.ms", "cleanup.policy", "max.message.bytes", "segment.bytes", "x", "")
CONFIG_VALUES = some("1", "1000", "1048576", "-1", "x", "", "delete", "compact", "true")

NUMBERS = {
    "Partition": PARTITIONS,
    "Partitions": PARTITIONS,
    "PartitionIndex": PARTITIONS,
    "PartitionIndexes": PARTITIONS,
    "Index": PARTITIONS,
    "Offset": (-1, 0, 1, 2, 3, 5, 6, 1000, -2, -5),
    "FetchOffset": (0, 1, 1, 1, 2, 3, 4, 5, 6, -1, -5),
    "CommittedOffset": (-1, 0, 1, 3, 1000, -2),
    "CommittedLeaderEpoch": (-1, 0, 1, 99, -2),
    "CurrentLeaderEpoch": (-1, -1, -1, -1, 0, 0, 1, -2),
    "LastFetchedEpoch": (-1, -1, -1, 0, 0, 1, -2),
    "LeaderEpoch": (-2, -1, 0, 0, 1, 99),
    "LogStartOffset": (-1, -1, 0, 5),
    "HighWatermark": (-1, 0, 5),
    "Timestamp": (-1, -2, -3, -4, -5, -6, -7, 0, NOW_MS, NOW_MS - 1, NOW_MS + 1, NOW_MS + (1 << 40)),
    "TimeoutMs": (5000, 5000, 5000, 60000, 0, -1),
    "MaxWaitMs": (0, 0, 0, 1, -1),
    "MinBytes": (0, 0, 1, -1),
    "MaxBytes": (1 << 20, 1 << 20, 1 << 20, 0, 1, 70, 100, 200, 300, -1),
    "PartitionMaxBytes": (1 << 20, 1 << 20, 1 << 20, 0, 1, 70, 100, 200, 300, -1),
    "ReplicaId": (-1, -1, -1, -1, -2, 0, 7),
    "ReplicaEpoch": (-1, -1, 0),
    "ResourceType": (2, 2, 2, 4, 32, 0, 99, -1),
    "ResourceTypes": (2, 4, 16, 32, 0, 99, -1),
    "Acks": (-1, 1),
    "IsolationLevel": (0, 0, 0, 1, 1, 2, -1),
    "NumPartitions": (-1, 1, 3, 0, -2, 10001),
    "ReplicationFactor": (-1, 1, 1, 0, -2),
    "Count": (1, 2, 3, 4, 0, -1, 20000),
    "ConfigOperation": (0, 0, 1, 2, 3, 4, -1),
    "UpgradeType": (0, 1, 2, 3, 4, -1),
    "MaxVersionLevel": (-1, 0, 1, 7, 25, 29, 99),
    "ResponsePartitionLimit": (1, 2, 3, 2000, 2000, 0, -1),
    "SessionTimeoutMs": (LONG_MS, LONG_MS, LONG_MS, 1_800_000, 5999, 1_800_001, 0, -1),
    "RebalanceTimeoutMs": (LONG_MS,),
    "TransactionTimeoutMs": (1000, 0, -1, 60000),
    "RetentionTimeMs": (-1, -1, 86_400_000),
    "GenerationId": (1, 1, 1, 1, 2, 0, -1, 99),
    "GenerationIdOrMemberEpoch": (1, 1, 1, -1, -1, -1, 2, 0, -2),
    "MemberEpoch": (-1, -1, 0, 1),
    "ElectionType": (0, 0, 1, 2, -1),
    "EndpointType": (1, 1, 2, 0, 9),
    "KeyType": (0, 0, 0, 2, 3, 9, -1),
    "ProducerId": (-1, -1, 0, 5),
    "ProducerEpoch": (-1, -1, 0, 1),
    "BrokerId": (77, -1, -2),
}


def number(w, api, field):
    if field.name in ("BrokerIds", "Replicas"):
        return [w.node, w.node, w.node, 77, -1]
    if field.name == "SessionId":
        return [w.session, w.session, w.session, 0, 12345, -1]
    if field.name == "SessionEpoch":
        return [w.next_epoch, w.next_epoch, w.next_epoch, w.next_epoch + 1, 1, 0, 0, -1, -2]
    return NUMBERS.get(field.name, (-1, 0, 1))


def string(w, api, version, field, inside, body):
    """`inside` is the name of the struct that the field is in, `body` what was drawn of it so far."""
    if inside == "Configs":
        return (CONFIG_NAMES if field.name == "Name" else CONFIG_VALUES)(w)
    if inside == "Protocols":
        return ["range", "range", "sticky", ""]
    if api == "JoinGroup" and field.name == "GroupId":
        return joined_groups(w)
    if api == "JoinGroup" and field.name == "MemberId":
        return joining_members(w, body["GroupId"])
    if api == "Metadata" and field.name == "Name" and version < 4:
        return known_topics(w)
    if field.name == "ResourceName":
        return RESOURCES.get(body.get("ResourceType"), some("x", ""))(w)
    if field.name == "Name":
        return NAMES.get(api, topics)(w)
    return STRINGS.get(field.name, some("", "x"))(w)


def octets(w, field):
    if field.type == "records":
        return [batch((b"a",)), batch((b"a",)), b""]
    if field.name == "Metadata":
        return [subscription([w.topic("r")]), b"", b"x"]
    return [b"", b"x", b"all"]
