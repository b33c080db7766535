"""Every config of a topic and of the broker with values at the borders of its type and range, each a request of its
own kind: what is taken, what is refused, and in which words."""

import re

from ..peer import wait_until
from ..scenario import scenario
from .configs import BROKER, LOGGER, TOPIC

INT_MAX, LONG_MAX = 2**31 - 1, 2**63 - 1

INTEGERS = [
    *("", " ", "0", "1", "-1", "-2", "-3", "5", "+5"),
    *(" 5 ", "\t5\n", "5 5", "007", "-0", "--5", "+-5", "+", "-", "1_000"),
    *("0x10", "5L", "5.0", "1e3", "many", "5,", "null", "0" * 70 + "5", "9" * 70, "\u0663", "\u00a05"),
    *(str(n) for n in (4, 14, 9, 10, 17, 18, 22, 23, 1048575, 1048576, -131072, -131073)),
    *(str(n) for n in (INT_MAX, INT_MAX + 1, -INT_MAX - 1, -INT_MAX - 2)),
    *(str(n) for n in (LONG_MAX, LONG_MAX + 1, -LONG_MAX - 1, -LONG_MAX - 2)),
]
DOUBLES = [
    *("", " ", "0", "1", "0.5", " 0.5 ", "+0.5", "-0.5", ".5", "5.", "1.", ".", "1e-3", "5E-1", "1e", "1e+", "0.5e0"),
    *("0.5d", "0.5D", "0.5f", "0.5F", "0.5L", "0.5x", "0,5"),
    *("0.5.5", "1_0", "NaN", "nan", "+NaN", "Infinity", "-Infinity"),
    *("inf", "infinity", "INFINITY", "nan(1)", "0x1p-1", "0X1P-1"),
    *("0x.8p0", "0x1.p-1", "0x1p-1d", "0x0.8", "0x1", "0x1p"),
    *("1.1", "-0.1", "-0", "-0.0", "1e400", "1e-400"),
    *("1.0000000000000001", "1.0000001", "12345678.5", "1e7", "0.0001", "-1e-5"),
    *("100", "2", "0.5 d", "0.5\t", "\u00a00.5", "4.9e-324", "-1.7976931348623157e308"),
]
BOOLEANS = [
    *("", " ", "true", "True", "TRUE", " true ", "\tfalse\n", "false"),
    *("False", "yes", "no", "1", "0", "truex", "tru", "t rue"),
]
WORDS = [
    *("", " ", "gzip", "GZIP", " gzip ", "none"),
    *("uncompressed", "zstd", "lz4", "snappy", "producer", "gzip,lz4", "zstd "),
    *("CreateTime", "createtime", " LogAppendTime", "LogAppendTime", "NoTimestampType"),
]
POLICIES = [
    *("", " ", ",", ",,", "delete"),
    *("compact", "delete,compact", "compact,delete", " compact , delete ", "compact\t,\ndelete"),
    *("delete,delete", "compact,delete,compact", "DELETE", "none"),
    *("delete,", ",delete", "delete,,compact", "delete compact", "burn,drown"),
]
REPLICAS = [
    *("", " ", "*", " * ", "**", "*,", ",*", "0:1"),
    *("0:1,1:1", " 0:1 , 1:1 ", "0:1,", ",0:1", "0:1,,1:1", "0:1,0:1", "0:1,*", "*,*"),
    *("none", "x", "0", "0:", ":1", "0:1:2", "-1:1"),
    *("0:-1", "a:b", "0:1,a", "0 :1", "00:01", "+0:1", "x,y", "99999999999:1"),
]
UNKNOWN = ["", "x", " retention.ms", "retention.ms ", "Retention.ms", "log.retention.ms", "a" * 300]
UNKNOWN += ["message.format.version"]


def values_of(name, kind):
    if name == "cleanup.policy":
        return POLICIES
    if name.endswith("throttled.replicas"):
        return REPLICAS
    return {1: BOOLEANS, 2: WORDS, 3: INTEGERS, 5: INTEGERS, 6: DOUBLES}[kind]


def described(side, kind, name):
    row = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": None}
    body = {"Resources": [row], "IncludeSynonyms": False, "IncludeDocumentation": False}
    return {c["Name"]: c for c in side.quietly("DescribeConfigs", 4, body)["Results"][0]["Configs"]}


@scenario
def topic_config_values(side):
    """CreateTopics and both ways to alter, validated only: each value of each config alone. Topics that are altered
    need not be there: Kafka looks at the value first."""
    side.quietly("CreateTopics", 7, {"Topics": [topic_row(side.topic("values"), [])], "TimeoutMs": 20000})
    known = described(side, TOPIC, side.topic("values"))
    cases = {name: values_of(name, config["ConfigType"]) for name, config in known.items()}
    cases |= {"internal.segment.bytes": INTEGERS, **{name: ["1"] for name in UNKNOWN}}
    for name, values in cases.items():
        said = {
            "CreateTopics": create_topics(side, name, values),
            "IncrementalAlterConfigs": alter_topics(side, "IncrementalAlterConfigs", 1, name, values),
            "AlterConfigs": alter_topics(side, "AlterConfigs", 2, name, values),
        }
        for api, answers in said.items():
            side.answers[f"{api} {name}"] = {repr(value): answer for value, answer in zip(values, answers)}


def create_topics(side, name, values):
    rows = [topic_row(side.topic(f"v{i}"), [(name, value)]) for i, value in enumerate(values)]
    answer = side.quietly("CreateTopics", 7, {"Topics": rows, "TimeoutMs": 20000, "ValidateOnly": True})
    found = {row["Name"]: row for row in answer["Topics"]}
    for i in range(len(values)):
        row = found[side.topic(f"v{i}")]
        yield row["ErrorCode"], row["ErrorMessage"], [c["Value"] for c in row["Configs"] or [] if c["Name"] == name]


def alter_topics(side, api, version, name, values):
    operation = {"ConfigOperation": 0} if api == "IncrementalAlterConfigs" else {}
    rows = [
        {
            "ResourceType": TOPIC,
            "ResourceName": side.topic(f"v{i}"),
            "Configs": [{"Name": name, "Value": value} | operation],
        }
        for i, value in enumerate(values)
    ]
    answer = side.quietly(api, version, {"Resources": rows, "ValidateOnly": True})
    found = {row["ResourceName"]: (row["ErrorCode"], row["ErrorMessage"]) for row in answer["Responses"]}
    for i in range(len(values)):
        code, message = found[side.topic(f"v{i}")]
        yield code, re.sub(r"topic '.*-v\d+'", "topic 'NAME'", message or "")


def topic_row(name, configs):
    rows = [{"Name": key, "Value": value} for key, value in configs]
    return {"Name": name, "NumPartitions": 1, "ReplicationFactor": 1, "Assignments": [], "Configs": rows}


# Of a broker's config every refusal is the broker's own; what it takes goes on to the controller, so these are fewer.
NUMBERS = ["0", "1", "-1", "-2", "2", "3", "5", "20"]
NUMBERS += ["21", " 7", "x", "", "524287", "524288", "1048575", "1048576", "1048577"]
NUMBERS += ["2097153", "20000000", str(INT_MAX), str(INT_MAX + 1), str(LONG_MAX), str(LONG_MAX + 1)]
KINDS = {1: ["true", "x"], 2: ["x", "gzip"], 3: NUMBERS, 4: ["1", "x"], 5: NUMBERS}
KINDS |= {6: ["0", "0.9", "1.5", "-1", "x", "NaN"]}
KINDS |= {7: ["compact", "x,y", ""], 8: ["x"], 9: ["x"]}
THROTTLES = [f"{side}.replication.throttled.rate" for side in ("leader", "follower")]
THROTTLES += ["replica.alter.log.dirs.io.max.bytes.per.second"]


def alter_broker(side, api, level, changes):
    """The two columns that tell; nothing is changed."""
    operations = api == "IncrementalAlterConfigs"
    configs = [{"Name": n, "Value": v} | ({"ConfigOperation": op} if operations else {}) for n, op, v in changes]
    row = {"ResourceType": BROKER, "ResourceName": level, "Configs": configs}
    answer = side.quietly(api, 1 if operations else 2, {"Resources": [row], "ValidateOnly": True})["Responses"][0]
    return answer["ErrorCode"], answer["ErrorMessage"]


@scenario
def broker_config_values(side):
    """Every config of the broker, for it and for all brokers. Of one that nobody changes a single value is asked."""
    known = described(side, BROKER, str(side.node))
    kinds = {name: config["ConfigType"] for name, config in known.items()} | {name: 5 for name in THROTTLES}
    for level in (str(side.node), ""):
        for name, kind in kinds.items():
            said = {}
            for value in KINDS[kind]:
                said[value] = alter_broker(side, "IncrementalAlterConfigs", level, [(name, 0, value)])
                if "Cannot update these configs dynamically" in (said[value][1] or ""):
                    break
            side.answers[f"{'its' if level else 'all'} {name}"] = said


NODES = ["-1", "99", "x", " 0", "0 ", "00", "+0", "-0", "0x0", "0.0", "\u0660", str(INT_MAX + 1)]
TOGETHER = [
    [("no.such.key", 2, "x")],
    [("no.such.key", 1, None)],
    [("leader.replication.throttled.rate", 2, "5")],
    [("broker.id", 2, "5")],
    [("broker.id", 1, None)],
    [("log.dirs", 2, "x")],
    [("log.cleanup.policy", 2, "burn")],
    [("log.cleanup.policy", 3, "delete")],
    [("log.retention.ms", 3, "1")],
    [("no.such.key", 2, "x"), ("broker.id", 0, "1")],
    [("log.retention.ms", 0, "x"), ("num.partitions", 0, "1"), ("broker.id", 0, "1"), ("node.id", 0, "5")],
    [("log.retention.ms", 0, "4"), ("log.local.retention.ms", 0, "5")],
    [("log.retention.bytes", 0, "4"), ("log.local.retention.bytes", 0, "5")],
    [("log.retention.ms", 0, "-2"), ("log.local.retention.ms", 0, "5")],
    [("log.cleaner.threads", 0, "2"), ("log.cleaner.dedupe.buffer.size", 0, "2097153")],
    [("log.cleaner.threads", 0, "2"), ("log.cleaner.dedupe.buffer.size", 0, "2097154")],
    [("ssl.keystore.location", 0, "x"), ("broker.id", 0, "1"), ("log.retention.ms", 0, "x")],
    [("ssl.keystore.location", 0, "x"), ("ssl.key.password", 0, "x"), ("log.retention.ms", 0, "x")],
    [("retention.ms", 0, "x"), ("", 0, ""), ("\u00e9", 0, "x"), ("a" * 300, 0, " ")],
    [("b", 0, None), ("", 0, None), ("c", 2, None)],
]


@scenario
def broker_configs_together(side):
    """Names of brokers, words added to lists, custom names, and what several values mean together."""
    for level in (str(side.node), ""):
        where = "its" if level else "all"
        for i, changes in enumerate(TOGETHER):
            said = alter_broker(side, "IncrementalAlterConfigs", level, changes)
            side.answers[f"{where} {i} together"] = said
            if all(op == 0 for _, op, _ in changes):
                side.answers[f"{where} {i} replaced"] = alter_broker(side, "AlterConfigs", level, changes)
    for name in NODES:
        for api in ("IncrementalAlterConfigs", "AlterConfigs"):
            said = alter_broker(side, api, name, [("log.retention.ms", 0, "5")])
            side.answers[f"node {name!r} {api}"] = said
        for kind in (BROKER, LOGGER):
            row = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": ["no.such.key"]}
            answer = side.quietly("DescribeConfigs", 4, {"Resources": [row]})["Results"][0]
            side.answers[f"node {name!r} {kind} DescribeConfigs"] = answer["ErrorCode"], answer["ErrorMessage"]


@scenario
def broker_configs_set(side):
    """Set, shown, resized from what holds by then, and taken back: at both levels, as a tool would."""
    steps = [
        [("no.such.key", 0, "secret"), ("leader.replication.throttled.rate", 0, "5"), ("retention.ms", 0, "77")],
        [("background.threads", 0, "20"), ("log.cleaner.threads", 0, "2")],
        [("background.threads", 0, "40"), ("log.cleaner.threads", 0, "4")],
        [("log.retention.ms", 0, "-2")],
        [("background.threads", 0, "20"), ("log.cleaner.threads", 0, "2")],
        [("background.threads", 1, None), ("log.cleaner.threads", 1, None), ("log.retention.ms", 1, None)],
        [("no.such.key", 1, None), ("leader.replication.throttled.rate", 1, None), ("retention.ms", 1, None)],
    ]
    for level in (str(side.node), ""):
        for i, changes in enumerate(steps):
            configs = [{"Name": n, "ConfigOperation": op, "Value": v} for n, op, v in changes]
            row = {"ResourceType": BROKER, "ResourceName": level, "Configs": configs}
            body = {"Resources": [row], "ValidateOnly": False}
            side.ask(f"{level!r} step {i}" if not level else f"its step {i}", "IncrementalAlterConfigs", 1, body)
            wait_until(lambda: shows(side, level, changes), f"step {i} at {level!r}")
            keys = sorted({name for step in steps for name, _, _ in step})
            for where in ("", str(side.node)):
                row = {"ResourceType": BROKER, "ResourceName": where, "ConfigurationKeys": keys}
                body = {"Resources": [row], "IncludeSynonyms": True, "IncludeDocumentation": True}
                side.ask(f"{level == ''} step {i} of {where == ''}", "DescribeConfigs", 4, body)


def shows(side, level, changes):
    source = 2 if level else 3
    found = described(side, BROKER, str(side.node))
    for name, operation, value in changes:
        config = found.get(name)
        is_set = config is not None and config["ConfigSource"] == source
        if is_set != (operation == 0) or (is_set and config["Value"] not in (value, None)):
            return False
    return True
