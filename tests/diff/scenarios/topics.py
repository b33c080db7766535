"""Topics from their creation to their end."""

import uuid

from ..scenario import batch, make_topic, produce_body, scenario, topic_id, versions


def new_topic(name, partitions=1, replicas=1, assignments=(), configs=()):
    return {
        "Name": name,
        "NumPartitions": partitions,
        "ReplicationFactor": replicas,
        "Assignments": [{"PartitionIndex": i, "BrokerIds": ids} for i, ids in assignments],
        "Configs": [{"Name": n, "Value": v} for n, v in configs],
    }


@scenario
def create_topics(side):
    make_topic(side, "there")
    for version in versions("CreateTopics"):

        def ask(label, *rows, validate=False, version=version):
            body = {"Topics": list(rows), "TimeoutMs": 10000, "ValidateOnly": validate}
            side.ask(label, "CreateTopics", version, body)

        v = version
        ask("new", new_topic(side.topic(f"new{v}"), 2))
        ask("again", new_topic(side.topic(f"new{v}"), 2))
        ask("validated", new_topic(side.topic(f"only{v}")), validate=True)
        ask("validated and there", new_topic(side.topic("there")), validate=True)
        ask("twice", new_topic(side.topic(f"twice{v}")), new_topic(side.topic(f"twice{v}")))
        ask("defaults", new_topic(side.topic(f"default{v}"), -1, -1))
        for partitions in (0, -2, -1):
            ask(f"{partitions} partitions", new_topic(side.topic(f"p{v}{partitions}"), partitions), validate=True)
        for replicas in (0, -2, 2):
            ask(f"{replicas} replicas", new_topic(side.topic(f"r{v}{replicas}"), 1, replicas), validate=True)
        for name in ("", ".", "..", "a/b", "a b", "é", "x" * 249, "x" * 250, "__consumer_offsets"):
            ask(f"name {name[:20]!r} {len(name)}", new_topic(name), validate=True)
        ask("collision", new_topic(side.topic("the.re")), new_topic(side.topic("the_re")), validate=True)
        node = side.node
        ask("assigned", new_topic(side.topic(f"as{v}"), -1, -1, [(0, [node]), (1, [node])]))
        ask("assigned and counted", new_topic(side.topic(f"at{v}"), 2, -1, [(0, [node])]), validate=True)
        ask("gap", new_topic(side.topic(f"ga{v}"), -1, -1, [(0, [node]), (2, [node])]), validate=True)
        ask("other node", new_topic(side.topic(f"on{v}"), -1, -1, [(0, [77])]), validate=True)
        ask("node twice", new_topic(side.topic(f"nt{v}"), -1, -1, [(0, [node, node])]), validate=True)
        for twice in (0, 9, -1):
            rows = [(twice, [node]), (0, [node, 77]), (twice, [node])] if twice else [(0, [node]), (0, [node])]
            ask(f"{twice} twice", new_topic(side.topic(f"tw{v}"), -1, -1, rows), validate=True)
            ask(f"{twice} at once twice", new_topic(side.topic(f"ta{v}"), -1, -1, rows[::2]), validate=True)
        ask("no node", new_topic(side.topic(f"nn{v}"), -1, -1, [(0, [])]), validate=True)
        for config in (
            ("retention.ms", "1000"),
            ("retention.ms", "-1"),
            ("retention.ms", "-2"),
            ("retention.ms", "many"),
            ("cleanup.policy", "compact"),
            ("cleanup.policy", "compact,delete"),
            ("cleanup.policy", "burn"),
            ("no.such.config", "1"),
            ("segment.bytes", "1"),
            ("max.message.bytes", "-1"),
            ("compression.type", "zstd"),
            ("compression.type", "rar"),
            ("min.insync.replicas", "2"),
            ("message.timestamp.type", "LogAppendTime"),
            ("retention.ms", None),
        ):
            ask(f"config {config}", new_topic(side.topic(f"c{v}"), 1, 1, (), [config]), validate=True)
        ask(
            "config twice",
            new_topic(side.topic(f"cc{v}"), 1, 1, (), [("retention.ms", "1"), ("retention.ms", "2")]),
            validate=True,
        )
        rows = [new_topic(side.topic(f"many{v}{i}"), 6000) for i in (0, 1)]
        ask("too many together", *rows, validate=True)
        ask("too many but twice", rows[0], rows[0], rows[1], validate=True)
        for timeout in (0, -1):
            for label, topics in (("twice", [rows[0]] * 2), ("one and twice", [rows[0]] * 2 + rows[1:])):
                body = {"Topics": topics, "TimeoutMs": timeout, "ValidateOnly": True}
                side.ask(f"{label} in {timeout} ms", "CreateTopics", version, body)
        ask("long in bytes alone", new_topic("é" * 200), validate=True)
        ask("nothing")


@scenario
def delete_topics(side):
    for version in versions("DeleteTopics"):
        make_topic(side, f"del{version}")

        def ask(label, names=(), ids=(), version=version):
            rows = [{"Name": n} for n in names] + [{"Name": None, "TopicId": i} for i in ids]
            side.ask(label, "DeleteTopics", version, {"TopicNames": list(names), "Topics": rows, "TimeoutMs": 10000})

        ask("missing", [side.topic("missing")])
        ask("wrong name", ["a/b"])
        missing = side.topic("missing")
        for label, names in (("twice", [missing] * 2), ("one and twice", ["a/b", missing, missing])):
            rows = [{"Name": name} for name in names]
            body = {"TopicNames": names, "Topics": rows, "TimeoutMs": 0}
            side.ask(f"{label} in no time", "DeleteTopics", version, body)
        if version >= 6:
            ask("wrong id", ids=[uuid.UUID(int=9)])
            ask("zero id", ids=[uuid.UUID(int=0)])
            gone = topic_id(side, f"del{version}")
            ask("id twice", ids=[gone, gone])
            ask("id", ids=[gone])
            ask("id again", ids=[gone])
            make_topic(side, "both")
            rows = [{"Name": side.topic("both"), "TopicId": topic_id(side, "both")}]
            side.ask("name and id", "DeleteTopics", version, {"Topics": rows})
            for timeout in (5000, 0):
                body = {"Topics": rows * 2 + [{"Name": None}], "TimeoutMs": timeout}
                side.ask(f"both twice in {timeout} ms", "DeleteTopics", version, body)
        else:
            ask("twice", [side.topic(f"del{version}")] * 2)
            ask("right", [side.topic(f"del{version}")])
            ask("again", [side.topic(f"del{version}")])
        ask("nothing")


@scenario
def create_partitions(side):
    for version in versions("CreatePartitions"):
        make_topic(side, f"grow{version}")

        def ask(label, name, count, assignments=None, validate=False, version=version):
            rows = None if assignments is None else [{"BrokerIds": ids} for ids in assignments]
            row = {"Name": side.topic(name), "Count": count, "Assignments": rows}
            body = {"Topics": [row], "TimeoutMs": 10000, "ValidateOnly": validate}
            side.ask(label, "CreatePartitions", version, body)

        name = f"grow{version}"
        ask("validated", name, 4, validate=True)
        ask("more", name, 3)
        ask("as many", name, 3)
        ask("fewer", name, 2)
        ask("zero", name, 0)
        ask("negative", name, -1)
        ask("assigned", name, 4, [[side.node]])
        ask("other node", name, 5, [[77]])
        ask("too few assigned", name, 7, [[side.node]])
        ask("too many assigned", name, 5, [[side.node], [side.node]])
        ask("empty assignment", name, 5, [[]])
        ask("missing", "missing", 5)
        ask("thousands", name, 20000, validate=True)
        make_topic(side, f"other{version}")
        for counts in ((20000, 3), (3, 20000), (9000, 9000), (10001, 2), (5, 10000), (9000, 2)):
            rows = [{"Name": side.topic(f"grow{version}"), "Count": counts[0] + 3, "Assignments": None}]
            rows += [{"Name": side.topic(f"other{version}"), "Count": counts[1] + 1, "Assignments": None}]
            for label, topics in ((f"{counts}", rows), (f"{counts} backwards", rows[::-1])):
                body = {"Topics": topics, "TimeoutMs": 10000, "ValidateOnly": True}
                side.ask(f"thousands {label}", "CreatePartitions", version, body)
        ask("thousands assigned", name, 20000, [[side.node]], validate=True)
        ask("node twice and another", name, 5, [[side.node, side.node, -1]], validate=True)
        row = {"Name": side.topic(name), "Count": 9, "Assignments": None}
        other = {"Name": "x" * 300, "Count": 9, "Assignments": None}
        for timeout in (1000, 0, -1):
            for label, rows in (("twice", [row, row]), ("twice and another", [row, row, other])):
                body = {"Topics": rows, "TimeoutMs": timeout, "ValidateOnly": True}
                side.ask(f"{label} in {timeout} ms", "CreatePartitions", version, body)
        side.ask("nothing", "CreatePartitions", version, {"Topics": [], "TimeoutMs": 1000})
        side.ask("now", "Metadata", 9, {"Topics": [{"Name": side.topic(name)}]}) if version == 3 else None


@scenario
def delete_records(side):
    for version in versions("DeleteRecords"):
        name = f"cut{version}"
        make_topic(side, name)
        for _ in range(3):
            side.quietly("Produce", 9, produce_body(side, name, batch((b"a", b"b"))))
        for label, topic, partition, offset in (
            ("beyond", name, 0, 7),
            ("negative", name, 0, -2),
            ("two", name, 0, 2),
            ("one", name, 0, 1),
            ("within", name, 0, 3),
            ("all", name, 0, -1),
            ("partition 9", name, 9, 0),
            ("missing", "missing", 0, 0),
        ):
            rows = [{"Name": side.topic(topic), "Partitions": [{"PartitionIndex": partition, "Offset": offset}]}]
            side.ask(label, "DeleteRecords", version, {"Topics": rows, "TimeoutMs": 5000})
            if label in ("two", "within"):
                rows = [{"Name": side.topic(name), "Partitions": [{"PartitionIndex": 0, "Timestamp": -3}]}]
                side.ask(f"largest after {label} {version}", "ListOffsets", 7, {"ReplicaId": -1, "Topics": rows})
        for label, offsets, more in (
            ("partition twice", (0, -2), []),
            ("partition twice, the last right", (-2, 0), []),
            ("topic twice", (0, 0), [0]),
        ):
            parts = [{"PartitionIndex": 0, "Offset": offset} for offset in offsets]
            rows = [{"Name": side.topic(name), "Partitions": parts}]
            rows += [{"Name": side.topic(name), "Partitions": [{"PartitionIndex": 9, "Offset": o}]} for o in more]
            side.ask(label, "DeleteRecords", version, {"Topics": rows, "TimeoutMs": 5000})
        rows = [{"Name": side.topic(name), "Partitions": [{"PartitionIndex": 0, "Timestamp": -2}]}]
        side.ask(f"earliest after {version}", "ListOffsets", 5, {"ReplicaId": -1, "Topics": rows})
        side.ask("nothing", "DeleteRecords", version, {"Topics": [], "TimeoutMs": 1000})
