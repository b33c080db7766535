"""Every config of a topic and of the broker with values at the borders of its type and range, each a request of its
own kind: what is taken, what is refused, and in which words."""

import re

from ..scenario import scenario
from .configs import TOPIC

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
