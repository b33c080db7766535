"""Requests by chance: every version of every API that our server lists, fields from pools of values that mean
something, together or not. DIFF_ROUNDS bodies a version instead of 4; DIFF_SEED changes them."""

import os
import random
import uuid

from ..peer import APIS, NOW_MS
from ..scenario import batch, coordinate, make_topic, new_producer, produce_body, scenario, topic_id

ROUNDS = int(os.environ.get("DIFF_ROUNDS", "4"))
SEED = os.environ.get("DIFF_SEED", "20261127")
# A join waits for others, and for them the scenarios of groups.py stand; a broker once unregistered is gone.
LEFT_OUT = {"JoinGroup", "UnregisterBroker"}
# Before these, Produce was another, and Metadata makes what it is asked for.
FIRST = {"Produce": 3, "Metadata": 4}
# What would change the topics that later requests ask for, or wait.
FIXED = {
    "ValidateOnly": True,
    "TransactionalId": None,
    "KeyType": 0,
    "Path": "/nowhere",
    "MaxWaitMs": 0,
    "MinBytes": 0,
    "ReplicaId": -1,
    "SessionId": 0,
    "ReplicaState": {"ReplicaId": -1, "ReplicaEpoch": -1},
    "ReplicaDirectoryId": uuid.UUID(int=0),
    "ClusterId": None,
    "AllowAutoTopicCreation": False,
}
FIXED_IN = {
    ("DeleteTopics", "Name"): "missing",
    ("DeleteTopics", "TopicNames"): ["missing"],
    ("DeleteTopics", "TopicId"): uuid.UUID(int=9),
    ("DeleteTopics", "TimeoutMs"): 5000,
    ("AlterPartitionReassignments", "Replicas"): None,
}
# A partition of which everything is deleted loses its files: here at once, there at the next check of retention.
NUMBERS_IN = {("DeleteRecords", "Offset"): (0, 1, 1000, -5)}
# An empty list means all topics, those of other runs too; and of a group's configs Kafka finds none in it.
NEVER_NONE = {("DescribeTopicPartitions", "Topics"), ("DescribeConfigs", "ConfigurationKeys")}
SMALL = (-1, 0, 1)
NUMBERS = {
    "Partition": (0, 1, 1, 9, -1),
    "PartitionIndex": (0, 1, 1, 9, -1),
    "Index": (0, 1, 1, 9, -1),
    "Offset": (-1, 0, 1, 3, 1000, -5),
    "FetchOffset": (-1, 0, 1, 3, 1000, -5),
    "CommittedOffset": (-1, 0, 1, 3, 1000),
    "Timestamp": (-1, -2, -3, -4, -5, -6, 0, NOW_MS, NOW_MS + (1 << 40)),
    "TimeoutMs": (100, 5000),
    "MaxBytes": (1, 100, 1 << 20),
    "PartitionMaxBytes": (1, 100, 1 << 20),
    "ResourceType": (2, 2, 4, 32, 0, 99),
    "Acks": (-1, 1),
    "SessionEpoch": (-1, 0),
    "IsolationLevel": (0, 0, 1, 2, -1),
    "NumPartitions": (-1, 0, 1, 3),
    "ReplicationFactor": (-1, 1),
    "Count": (0, 1, 2, 4),
    "ConfigOperation": (0, 1, 2, 3, 4),
    "UpgradeType": (0, 1, 2, 3, 4),
    "ResponsePartitionLimit": (1, 2, 2000),
}
TEXTS = {
    "GroupId": ("g", "other"),
    "Key": ("g", "other", ""),
    "CoordinatorKeys": ("g", "other", ""),
    "GroupsNames": ("other", "g", ""),
    "Groups": ("g", "other", ""),
    "MemberId": ("", "x"),
    "StatesFilter": ("Empty", "Stable", "x"),
    "TypesFilter": ("classic", "consumer", "x"),
    "Value": ("1", "1000", "x", "delete", "true"),
    "Feature": ("metadata.version", "x"),
    "ConfigurationKeys": ("retention.ms", "cleanup.policy", "x"),
}
TOPICS = {"Name", "Topic", "TopicName", "ResourceName", "TopicNames"}
CONFIGS = ("retention.ms", "cleanup.policy", "max.message.bytes", "x", "")


def name_of(row):
    """What a row of a list is told by."""
    if not isinstance(row, dict):
        return row
    for name in ("Name", "Topic", "TopicName", "ResourceName", "Partition", "PartitionIndex", "Index", "GroupId"):
        if name in row:
            return row[name] or row.get("TopicId")
    return row.get("TopicId", repr(row))


class Chance:
    """Bodies of one API at one version, on one of the two sides."""

    def __init__(self, side, api, version, rng, known):
        self.side, self.api, self.version, self.rng, self.known = side, api, version, rng, known

    def body(self, fields, inside=""):
        return {f.name: self.field(f, inside) for f in fields if self.version in f.versions}

    def field(self, field, inside):
        if field.name in FIXED:
            return FIXED[field.name]
        if (self.api, field.name) in FIXED_IN:
            return FIXED_IN[self.api, field.name]
        if self.version in field.nullable and field.type != "records" and self.rng.random() < 0.15:
            return None
        if field.array:
            return self.several(field, inside)
        return self.value(field, inside)

    def several(self, field, inside):
        """Some elements, of one name each: what a repeated one means has its place in the other scenarios."""
        rows = [self.value(field, inside) for _ in range(self.rng.choice((0, 1, 1, 2)))]
        if not rows and (self.api, field.name) in NEVER_NONE:
            rows = [self.value(field, inside)]
        seen = set()
        return [row for row in rows if not (key := name_of(row)) in seen and not seen.add(key)]

    def value(self, field, inside):
        if field.of:
            return self.body(field.of, field.name)
        if field.type == "string":
            return self.text(field.name, inside)
        if field.type == "bool":
            return self.rng.random() < 0.5
        if field.type == "uuid":
            return self.rng.choice([self.known, self.known, uuid.UUID(int=0), uuid.UUID(int=9)])
        if field.type == "records":
            return self.rng.choice([batch((b"a",)), batch((b"a",)), b""])
        if field.type == "bytes":
            return self.rng.choice([b"", b"x"])
        if field.name in ("BrokerIds", "Replicas"):
            return self.rng.choice([self.side.node, 77])
        return self.rng.choice(NUMBERS_IN.get((self.api, field.name)) or NUMBERS.get(field.name, SMALL))

    def text(self, name, inside):
        if inside == "Configs":
            return self.rng.choice(CONFIGS if name == "Name" else TEXTS["Value"])
        if name in TEXTS:
            text = self.rng.choice(TEXTS[name])
            return self.side.topic(text) if text in ("g", "other") else text
        if name in TOPICS:
            text = self.rng.choice(("r", "r", "s", "missing", "a/b"))
            return self.side.topic(text) if text.isalpha() else text
        return self.rng.choice(("", "x", "range"))


@scenario
def made_up(side):
    make_topic(side, "r", 2)
    make_topic(side, "s", 1)
    group = side.topic("g")
    coordinate(side, group)
    new_producer(side)  # or a broker that has just begun has no ids yet
    rows = [{"Name": side.topic("r"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 2}]}]
    side.quietly("OffsetCommit", 2, {"GroupId": group, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": rows})
    for name in ("r", "s"):
        side.quietly("Produce", 9, produce_body(side, name, batch((b"a", b"b"))))
    known = topic_id(side, "r")
    for api, message in APIS.items():
        if api in LEFT_OUT or message.key not in side.served:
            continue
        for version in message.versions:
            if version not in side.served[message.key] or version < FIRST.get(api, 0):
                continue
            rng = random.Random(f"{SEED} {api} {version}")
            for i in range(ROUNDS):
                body = Chance(side, api, version, rng, known).body(message.fields)
                side.ask(f"{i}", api, version, body)
                side.bodies[f"{i} {api} v{version}"] = body
