"""What a client asks before anything else, and what tools ask about the cluster."""

from ..peer import wait_until
from ..scenario import make_topic, scenario, topic_id, versions

ZERO = "00000000-0000-0000-0000-000000000000"


@scenario
def api_versions(side):
    for version in (0, 1, 2, 3, 4, 5, 99):
        body = {"ClientSoftwareName": "diff", "ClientSoftwareVersion": "1.0"}
        octets = None if version < 5 else b"\0"
        side.ask("known", "ApiVersions", version, body, octets=octets)
    for version in (3, 4):
        for name in ("", "-diff", "diff-", "d iff", "a" * 300, "diff.x-1"):
            side.ask(
                f"name {name[:9]!r}", "ApiVersions", version, {"ClientSoftwareName": name, "ClientSoftwareVersion": "1"}
            )
        side.ask("no version", "ApiVersions", version, {"ClientSoftwareName": "a", "ClientSoftwareVersion": ""})


@scenario
def metadata(side):
    make_topic(side, "one", 3)
    names = ["one", "missing"]
    for version in versions("Metadata"):
        more = {"AllowAutoTopicCreation": False}
        for label, topics in (
            ("known", [side.topic("one")]),
            ("missing", [side.topic("missing")]),
            ("twice", [side.topic("one")] * 2),
            ("both", [side.topic(n) for n in names]),
            ("wrong name", ["a/b"]),
            ("no name", [""]),
            ("dots", ["."]),
            ("long", ["x" * 250]),
        ):
            if version >= 4:
                side.ask(label, "Metadata", version, {"Topics": [{"Name": t} for t in topics], **more})
            elif label == "known":
                side.ask(label, "Metadata", version, {"Topics": [{"Name": t} for t in topics]})
        side.ask("none", "Metadata", version, {"Topics": [], **more})
        side.ask("all", "Metadata", version, {"Topics": [] if version == 0 else None, **more})
        if version >= 8:
            side.ask(
                "operations",
                "Metadata",
                version,
                {
                    "Topics": [{"Name": side.topic("one")}],
                    "IncludeClusterAuthorizedOperations": True,
                    "IncludeTopicAuthorizedOperations": True,
                    **more,
                },
            )
        if version >= 10:
            import uuid

            by_id = {"TopicId": topic_id(side, "one"), "Name": None}
            side.ask("id", "Metadata", version, {"Topics": [by_id], **more})
            side.ask("wrong id", "Metadata", version, {"Topics": [{"TopicId": uuid.UUID(int=7), "Name": None}], **more})
            side.ask("no id", "Metadata", version, {"Topics": [{"TopicId": uuid.UUID(int=0), "Name": None}], **more})


@scenario
def topics_on_first_use(side):
    """Kafka answers while it makes them; names that it would not make have the same error at once."""
    for version in versions("Metadata"):
        for label, name in (
            ("new", side.topic(f"new{version}")),
            ("wrong", "a b"),
            ("none", ""),
        ):
            body = {"Topics": [{"Name": name}], "AllowAutoTopicCreation": True}
            side.ask(f"{label} on first use", "Metadata", version, body)

        def is_there(body={"Topics": [{"Name": side.topic(f"new{version}")}], "AllowAutoTopicCreation": False}):
            told = side.quietly("Metadata", 12, body)["Topics"][0]
            return told["ErrorCode"] == 0 and all(p["ErrorCode"] == 0 for p in told["Partitions"])

        wait_until(is_there, "the topic")
        body = {"Topics": [{"Name": side.topic(f"new{version}")}], "AllowAutoTopicCreation": True}
        side.ask("made", "Metadata", version, body)


@scenario
def describe_cluster(side):
    for version in versions("DescribeCluster"):
        for operations in (False, True):
            body = {"IncludeClusterAuthorizedOperations": operations}
            side.ask(f"operations {operations}", "DescribeCluster", version, body)
        if version >= 1:
            side.ask("controllers", "DescribeCluster", version, {"EndpointType": 2})
            side.ask("wrong endpoint", "DescribeCluster", version, {"EndpointType": 9})
        if version >= 2:
            side.ask("fenced", "DescribeCluster", version, {"IncludeFencedBrokers": True})


@scenario
def quorum_and_features(side):
    for version in versions("DescribeQuorum"):
        topics = [{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 0}]}]
        side.ask("right", "DescribeQuorum", version, {"Topics": topics})
        side.ask(
            "other", "DescribeQuorum", version, {"Topics": [{"TopicName": "x", "Partitions": [{"PartitionIndex": 0}]}]}
        )
        wrong = [{"TopicName": "__cluster_metadata", "Partitions": [{"PartitionIndex": 9}]}]
        side.ask("partition 9", "DescribeQuorum", version, {"Topics": wrong})
        side.ask("none", "DescribeQuorum", version, {"Topics": []})
    for version in versions("UpdateFeatures"):
        row = {"Feature": "no.such.feature", "MaxVersionLevel": 1, "AllowDowngrade": False, "UpgradeType": 1}
        side.ask("unknown", "UpdateFeatures", version, {"FeatureUpdates": [row], "ValidateOnly": True})
        side.ask("none", "UpdateFeatures", version, {"FeatureUpdates": [], "ValidateOnly": True})
        known, like = "metadata.version", "metadata.versi\ufffdn"  # in one place of Java's hash map
        for names in ((known, like, known), (like, known), (like, known, like)):
            rows = [{"Feature": n, "MaxVersionLevel": 99 - i, "UpgradeType": 1} for i, n in enumerate(names)]
            body = {"FeatureUpdates": rows, "ValidateOnly": True}
            side.ask(f"one place {names}", "UpdateFeatures", version, body)
        row = dict(row, UpgradeType=7)
        if version > 0:
            side.ask("wrong type", "UpdateFeatures", version, {"FeatureUpdates": [row], "ValidateOnly": True})
        row = {"Feature": "metadata.version", "MaxVersionLevel": 25, "AllowDowngrade": True}
        for kind in (1, 2, 3):
            body = {"FeatureUpdates": [{**row, "UpgradeType": kind}], "ValidateOnly": True}
            side.ask(f"downgrade {kind}", "UpdateFeatures", version, body)
    for broker in (77, -1):
        side.ask(f"broker {broker}", "UnregisterBroker", 0, {"BrokerId": broker})


@scenario
def log_dirs(side):
    make_topic(side, "dirs", 2)
    for version in versions("DescribeLogDirs"):
        side.ask("known", "DescribeLogDirs", version, {"Topics": [{"Topic": side.topic("dirs"), "Partitions": [0, 1]}]})
        side.ask("missing", "DescribeLogDirs", version, {"Topics": [{"Topic": side.topic("no"), "Partitions": [0]}]})
        side.ask(
            "partition 9", "DescribeLogDirs", version, {"Topics": [{"Topic": side.topic("dirs"), "Partitions": [9]}]}
        )
        side.ask("none", "DescribeLogDirs", version, {"Topics": []})
        rows = [{"Topic": side.topic("dirs"), "Partitions": partitions} for partitions in ([0, 0], [1, 0])]
        side.ask("twice", "DescribeLogDirs", version, {"Topics": rows})
    for version in versions("AlterReplicaLogDirs"):
        for name, partition in (("dirs", 0), ("dirs", 9), ("missing", 0)):
            topics = [{"Name": side.topic(name), "Partitions": [partition]}]
            side.ask(
                f"{name} {partition}",
                "AlterReplicaLogDirs",
                version,
                {"Dirs": [{"Path": "/nowhere", "Topics": topics}]},
            )
        side.ask("none", "AlterReplicaLogDirs", version, {"Dirs": []})
        for size in (212, 213, 214, 215):
            topics = [{"Name": "x" * size, "Partitions": [0, 10]}]
            body = {"Dirs": [{"Path": "/nowhere", "Topics": topics}]}
            side.ask(f"{size} letters", "AlterReplicaLogDirs", version, body)


@scenario
def elections_and_reassignments(side):
    make_topic(side, "moved", 2)
    for version in versions("ElectLeaders"):
        for kind in (0, 1, 7) if version else (0,):
            for name, partition in (("moved", 0), ("moved", 9), ("missing", 0)):
                rows = [{"Topic": side.topic(name), "Partitions": [partition]}]
                body = {"ElectionType": kind, "TopicPartitions": rows, "TimeoutMs": 5000}
                side.ask(f"kind {kind} {name} {partition}", "ElectLeaders", version, body)
        side.ask("none", "ElectLeaders", version, {"TopicPartitions": []})
        for timeout in (0, -1):
            for label, rows in (("all", None), ("none", []), ("one", [{"Topic": "x", "Partitions": [0]}])):
                body = {"ElectionType": 0, "TopicPartitions": rows, "TimeoutMs": timeout}
                side.ask(f"{label} in {timeout} ms", "ElectLeaders", version, body)
    for version in versions("AlterPartitionReassignments"):
        for label, name, partition, replicas in (
            ("same", "moved", 0, [side.node]),
            ("cancel", "moved", 0, None),
            ("empty", "moved", 0, []),
            ("other node", "moved", 0, [77]),
            ("twice", "moved", 0, [side.node, side.node]),
            ("partition 9", "moved", 9, [side.node]),
            ("missing", "missing", 0, [side.node]),
        ):
            rows = [{"Name": side.topic(name), "Partitions": [{"PartitionIndex": partition, "Replicas": replicas}]}]
            side.ask(label, "AlterPartitionReassignments", version, {"Topics": rows})
        side.ask("none", "AlterPartitionReassignments", version, {"Topics": []})
        for timeout in (0, -1):
            rows = [{"Name": side.topic("moved"), "Partitions": [{"PartitionIndex": 0, "Replicas": None}]}]
            for label, topics in (("none", []), ("one", rows)):
                body = {"Topics": topics, "TimeoutMs": timeout}
                side.ask(f"{label} in {timeout} ms", "AlterPartitionReassignments", version, body)
    for name, indexes in (("moved", [0, 1]), ("moved", [9]), ("missing", [0])):
        rows = [{"Name": side.topic(name), "PartitionIndexes": indexes}]
        side.ask(f"{name} {indexes}", "ListPartitionReassignments", 0, {"Topics": rows})
    side.ask("all", "ListPartitionReassignments", 0, {"Topics": None})


@scenario
def topic_partitions(side):
    make_topic(side, "a", 3)
    make_topic(side, "b", 1)

    def ask(label, names, limit=2000, cursor=None):
        rows = [{"Name": side.topic(n)} for n in names]
        body = {"Topics": rows, "ResponsePartitionLimit": limit, "Cursor": cursor}
        side.ask(label, "DescribeTopicPartitions", 0, body)

    ask("both", ["a", "b"])
    ask("missing", ["missing"])
    ask("missing and known", ["a", "missing"])
    for limit in (1, 2, 3, 4):
        ask(f"limit {limit}", ["a", "b"], limit)
    ask("cursor", ["a", "b"], 2000, {"TopicName": side.topic("a"), "PartitionIndex": 1})
    ask("cursor in b", ["a", "b"], 2000, {"TopicName": side.topic("b"), "PartitionIndex": 0})
    ask("cursor nowhere", ["a", "b"], 2000, {"TopicName": side.topic("aa"), "PartitionIndex": 0})
    ask("negative cursor", ["a", "b"], 2000, {"TopicName": side.topic("a"), "PartitionIndex": -1})
    ask("none named", [])
    ask("limit 0", ["a"], 0)
    ask("missing behind the limit", ["a", "b", "c"], 4)
    for cursor in (None, {"TopicName": "", "PartitionIndex": 0}):
        rows = [{"Name": ""}, {"Name": side.topic("a")}]
        body = {"Topics": rows, "ResponsePartitionLimit": 2000, "Cursor": cursor}
        side.ask(f"empty name {cursor}", "DescribeTopicPartitions", 0, body)
