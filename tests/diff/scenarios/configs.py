"""Configs of topics, brokers and everything else that has some."""

from ..peer import wait_until
from ..scenario import make_topic, scenario, versions

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32


@scenario
def describe_configs(side):
    make_topic(side, "plain")
    make_topic(side, "set", 1, [("retention.ms", "1000"), ("cleanup.policy", "compact")])
    for version in versions("DescribeConfigs"):

        def ask(label, kind, name, keys=None, version=version, **more):
            row = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys}
            side.ask(label, "DescribeConfigs", version, {"Resources": [row], **more})

        for synonyms in (False, True):
            more = {"IncludeSynonyms": synonyms, "IncludeDocumentation": synonyms}
            ask(f"topic {synonyms}", TOPIC, side.topic("plain"), **more)
            ask(f"set topic {synonyms}", TOPIC, side.topic("set"), **more)
        keys = ["retention.ms", "cleanup.policy", "no.such.key"]
        ask("some keys", TOPIC, side.topic("set"), keys, IncludeSynonyms=True)
        ask("no keys", TOPIC, side.topic("set"), [])
        ask("missing", TOPIC, side.topic("missing"))
        ask("wrong name", TOPIC, "a/b")
        ask("empty name", TOPIC, "")
        ask("broker", BROKER, str(side.node), ["log.retention.ms", "num.partitions", "compression.type"])
        ask("other broker", BROKER, "77")
        ask("no number", BROKER, "x")
        ask("cluster", BROKER, "", ["log.retention.ms"])
        ask("group", GROUP, "g", None)
        ask("empty group", GROUP, "")
        ask("metrics", METRICS, "m")
        ask("strange", 99, "x")
        ask("unknown", 0, "x")
        side.ask("nothing", "DescribeConfigs", version, {"Resources": []})


@scenario
def broker_configs(side):
    row = {"ResourceType": BROKER, "ResourceName": str(side.node), "ConfigurationKeys": None}
    body = {"Resources": [row], "IncludeSynonyms": False, "IncludeDocumentation": False}
    answer = side.quietly("DescribeConfigs", 4, body)
    # The values are a matter of each broker's settings; what a tool may ask for is not.
    rows = [
        {"Name": c["Name"], "ConfigType": c["ConfigType"], "ReadOnly": c["ReadOnly"], "IsSensitive": c["IsSensitive"]}
        for c in answer["Results"][0]["Configs"]
    ]
    side.answers["all of the broker's DescribeConfigs v4"] = {row.pop("Name"): row for row in rows}


@scenario
def loggers(side):
    """All that a tool lists of them."""
    row = {"ResourceType": LOGGER, "ResourceName": str(side.node), "ConfigurationKeys": None}
    answer = side.quietly("DescribeConfigs", 4, {"Resources": [row]})["Results"][0]
    side.answers["loggers DescribeConfigs v4"] = {c["Name"]: c["ConfigSource"] for c in answer["Configs"]}


@scenario
def offsets_topic(side):
    """What Kafka sets for its own topic of groups. How large its segments are is a matter of the broker's settings."""
    side.quietly("FindCoordinator", 4, {"KeyType": 0, "CoordinatorKeys": ["made-for-offsets"]})
    wait_until(lambda: own_configs(side).get("cleanup.policy"), "the topic of offsets")
    side.answers["offsets topic DescribeConfigs v4"] = own_configs(side)


def own_configs(side):
    row = {"ResourceType": TOPIC, "ResourceName": "__consumer_offsets", "ConfigurationKeys": None}
    answer = side.quietly("DescribeConfigs", 4, {"Resources": [row]})["Results"][0]
    return {c["Name"]: c["Value"] for c in answer["Configs"] if c["ConfigSource"] == 1}


@scenario
def incremental_alter_configs(side):
    make_topic(side, "altered", 1, [("cleanup.policy", "delete")])
    for version in versions("IncrementalAlterConfigs"):

        def ask(label, kind, name, changes, validate=False, version=version):
            configs = [{"Name": n, "ConfigOperation": op, "Value": v} for n, op, v in changes]
            row = {"ResourceType": kind, "ResourceName": name, "Configs": configs}
            body = {"Resources": [row], "ValidateOnly": validate}
            side.ask(label, "IncrementalAlterConfigs", version, body)

        name = side.topic("altered")
        ask("validated", TOPIC, name, [("retention.ms", 0, "5")], True)
        for i, change in enumerate(
            (
                ("retention.ms", 0, "5000"),
                ("retention.ms", 0, "x"),
                ("retention.ms", 0, None),
                ("retention.ms", 2, "1"),
                ("retention.ms", 7, "1"),
                ("retention.ms", 1, None),
                ("retention.ms", 1, None),
                ("cleanup.policy", 2, "compact"),
                ("cleanup.policy", 2, "compact"),
                ("cleanup.policy", 3, "delete"),
                ("cleanup.policy", 3, "burn"),
                ("cleanup.policy", 2, "burn"),
                ("cleanup.policy", 1, None),
                ("no.such.key", 0, "1"),
                ("no.such.key", 1, None),
                ("min.insync.replicas", 0, "1"),
                ("unclean.leader.election.enable", 0, "true"),
                ("segment.bytes", 0, "1048576"),
                ("segment.bytes", 0, "0"),
                ("max.message.bytes", 0, "2000000"),
                ("message.timestamp.type", 0, "LogAppendTime"),
                ("message.timestamp.type", 1, None),
                ("compression.type", 0, "gzip"),
                ("compression.type", 0, "producer"),
                ("flush.ms", 0, "1"),
                ("preallocate", 0, "yes"),
            )
        ):
            ask(f"{i} {change}", TOPIC, name, [change])
        ask("twice", TOPIC, name, [("retention.ms", 0, "1"), ("retention.ms", 0, "2")])
        ask("missing", TOPIC, side.topic("missing"), [("retention.ms", 0, "1")])
        ask("no changes", TOPIC, name, [])
        ask("empty name", TOPIC, "", [("retention.ms", 0, "1")])
        for names in ("max.message.bytes cleanup.policy", "x cleanup.policy aa", "consumer.session.timeout.ms zz"):
            for kind in (16, 32):
                ask(f"kind {kind} {names}", kind, side.topic("g"), [(n, 0, "x") for n in names.split()], True)
        for count in (12, 13, 14, 20):
            ask(f"{count} names", 32, side.topic("g"), [(f"n{i * 7919}", 0, "x") for i in range(count)], True)
        ask("interval and unknown", 16, side.topic("g"), [("interval.ms", 0, "x"), ("zz", 0, "x")], True)
        for kind in (TOPIC, 16, 32):
            for change in (("segment.bytes", 3, "1"), ("no.such.key", 2, "1"), ("", 3, ""), ("no.such.key", 0, "1")):
                ask(f"kind {kind} without name {change}", kind, "", [change], True)
        ask("broker read-only", BROKER, str(side.node), [("log.dirs", 0, "/x")])
        ask("other broker", BROKER, "77", [("log.retention.ms", 0, "1000")])
        for level in ("", str(side.node)):
            for i, change in enumerate((("min.insync.replicas", 1, None), ("min.insync.replicas", 0, "x"))):
                ask(f"insync {level!r} {i}", BROKER, level, [change], True)
        ask("two faults", TOPIC, name, [("cleanup.policy", 0, "burn"), ("retention.ms", 0, "x")])
        ask("unknown and wrong", TOPIC, name, [("retention.ms", 0, "x"), ("no.such.key", 0, "1")])
        ask("unknown type", 0, "x", [("a", 0, "1")])
        ask("strange type", 99, "x", [("a", 0, "1")])
        row = {"ResourceType": TOPIC, "ResourceName": name, "Configs": []}
        side.ask("same twice", "IncrementalAlterConfigs", version, {"Resources": [row, row]})
        side.ask("nothing", "IncrementalAlterConfigs", version, {"Resources": []})
    described = {"ResourceType": TOPIC, "ResourceName": side.topic("altered"), "ConfigurationKeys": None}
    side.ask("afterwards", "DescribeConfigs", 4, {"Resources": [described], "IncludeSynonyms": True})


@scenario
def alter_configs(side):
    make_topic(side, "replaced", 1, [("retention.ms", "1000")])
    for version in versions("AlterConfigs"):

        def ask(label, kind, name, configs, validate=False, version=version):
            rows = [{"Name": n, "Value": v} for n, v in configs]
            row = {"ResourceType": kind, "ResourceName": name, "Configs": rows}
            side.ask(label, "AlterConfigs", version, {"Resources": [row], "ValidateOnly": validate})

        name = side.topic("replaced")
        ask("validated", TOPIC, name, [("retention.bytes", "5")], True)
        ask("right", TOPIC, name, [("retention.bytes", "500")])
        ask("wrong", TOPIC, name, [("retention.bytes", "x")])
        ask("unknown", TOPIC, name, [("no.such", "x")])
        ask("null", TOPIC, name, [("retention.bytes", None)])
        ask("missing", TOPIC, side.topic("missing"), [("retention.bytes", "5")])
        ask("broker", BROKER, str(side.node), [("log.dirs", "/x")])
        ask("strange", 99, "x", [])
        side.ask("nothing", "AlterConfigs", version, {"Resources": []})
        described = {
            "ResourceType": TOPIC,
            "ResourceName": name,
            "ConfigurationKeys": ["retention.bytes", "retention.ms"],
        }
        side.ask(f"after {version}", "DescribeConfigs", 4, {"Resources": [described]})
        ask("emptied", TOPIC, name, [])


@scenario
def list_config_resources(side):
    make_topic(side, "listed")
    side.ask("version 0", "ListConfigResources", 0, {})
    for kinds in ([], [TOPIC], [BROKER], [GROUP], [METRICS], [LOGGER], [99], [0]):
        side.ask(f"{kinds}", "ListConfigResources", 1, {"ResourceTypes": kinds})
