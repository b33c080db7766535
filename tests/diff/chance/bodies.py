"""Bodies of requests, field by field as the schema has them: now and then a null, the edge of a type, a row twice, or
tags that nobody knows."""

import copy
import uuid

from . import pools

NULL, EDGE, TWICE, TAGS = 0.1, 0.06, 0.25, 0.04  # how often
# Where anything else is unlike on purpose, waits, or changes what the requests of other APIs find.
FIXED = {
    "AllowAutoTopicCreation": False,
    "ReplicaDirectoryId": uuid.UUID(int=0),
    "ReplicaState": {"ReplicaId": -1, "ReplicaEpoch": -1},
}
FIXED_IN = {
    ("UpdateFeatures", "ValidateOnly"): True,
    ("AlterConfigs", "ValidateOnly"): True,
    ("IncrementalAlterConfigs", "ValidateOnly"): True,
    ("Produce", "TransactionalId"): None,
}
# An empty list means all topics, those of other runs too; and of a group's configs Kafka finds none in it.
# With several resources of which it refuses all, AlterConfigs of Kafka 4.3.1 never answers; nor does JoinGroup when it
# is to choose among protocols of which two have one name.
DISTINCT = {("AlterConfigs", "Resources"), ("JoinGroup", "Protocols")}
NEVER_NONE = {("DescribeTopicPartitions", "Topics"), ("DescribeConfigs", "ConfigurationKeys")}
OFTEN_NULL = {"GroupInstanceId", "TransactionalId", "Cursor", "ClusterId"}
UNKNOWN_TAGS = ([(9999, b"x")], [(100, b""), (101, b"\0\1\2")], [(1 << 30, b"tag" * 100)])


def distinct(rows):
    """Rows of one name each, of resources the topics alone."""
    names = ("Name", "TopicId", "ResourceName", "Index")
    rows = [row for row in rows if row.get("ResourceType", 2) == 2] or rows[:1]
    return list({next(str(row[name]) for name in names if name in row): row for row in rows}.values())


def asks_for_many(body):
    """Kafka 4.3.1 refuses more than 10,000 new partitions in a request (error -1), and makes the first 10,000 of them
    all the same, which takes it minutes."""
    return sum(max(row["Count"], 0) for row in body["Topics"] or ()) > 10000


class Chance:
    """Draws requests of one API at one version, as one of the two sides is asked."""

    def __init__(self, world, message, version, rng):
        self.world, self.version, self.rng = world, version, rng
        self.message, self.api = message, message.name.removesuffix("Request")

    def body(self):
        body = self._struct(self.message.fields, "")
        if self.api == "CreatePartitions" and asks_for_many(body):
            body["ValidateOnly"] = True
        return body

    def _struct(self, fields, inside):
        body = {}
        for field in fields:
            if self.version in field.versions:
                body[field.name] = self._field(field, inside, body)
        if self.version in self.message.flexible and self.rng.random() < TAGS:
            body["unknown tags"] = list(self.rng.choice(UNKNOWN_TAGS))
        return body

    def _field(self, field, inside, body):
        if field.name in FIXED:
            return FIXED[field.name]
        if (self.api, field.name) in FIXED_IN:
            return FIXED_IN[self.api, field.name]
        null = 0.7 if field.name in OFTEN_NULL else NULL
        if self.version in field.nullable and field.type != "records" and self.rng.random() < null:
            return field.default(self.version) if (self.api, field.name) in NEVER_NONE and not field.array else None
        if field.array:
            return self._rows(field, inside, body)
        return self._value(field, inside, body)

    def _rows(self, field, inside, body):
        least = 1 if (self.api, field.name) in NEVER_NONE else 0
        count = max(least, self.rng.choice((0, 1, 1, 1, 2, 2, 3)))
        rows = [self._value(field, inside, body) for _ in range(count)]
        if rows and self.rng.random() < TWICE:
            rows.append(self._twin(field, self.rng.choice(rows)))
        return distinct(rows) if (self.api, field.name) in DISTINCT else rows

    def _twin(self, field, row):
        """The same again, or another row of the same name."""
        if not field.of or self.rng.random() < 0.5:
            return copy.deepcopy(row)
        other = self._struct(field.of, field.name)
        names = ("Name", "Topic", "TopicName", "TopicId", "GroupId", "ResourceType", "ResourceName", "Partition")
        for name in (*names, "PartitionIndex", "Index", "MemberId", "Feature"):
            if name in row:
                other[name] = row[name]
        return other

    def _value(self, field, inside, body):
        world, rng = self.world, self.rng
        if field.of:
            return self._struct(field.of, field.name)
        if field.type == "string":
            return rng.choice(pools.string(world, self.api, self.version, field, inside, body))
        if field.type == "bool":
            return rng.random() < 0.5
        if field.type == "uuid":
            return rng.choice(pools.ids(world))
        if field.type in ("records", "bytes"):
            return rng.choice(pools.octets(world, field))
        if field.name not in pools.NO_EDGES and field.type in pools.EDGES and rng.random() < EDGE:
            return rng.choice(pools.EDGES[field.type])
        return rng.choice(pools.number(world, self.api, field))
