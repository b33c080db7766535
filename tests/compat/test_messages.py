"""Every version of every message, and of what records of our own topics hold, against other implementations: random
bodies, encoded by one and decoded by the other, byte for byte. The server's walker (support/kafka_walk.c) meets
Apache's own classes, kafka-python's and our second reading of the schemas (support/kafka_schema.py).
EVENTBOX_MESSAGE_ROUNDS bodies for each version instead of 3; the seed is fixed, EVENTBOX_MESSAGE_SEED changes it. No
broker is asked.
"""

import base64
import importlib
import json
import os
import random
import struct
import subprocess
import uuid

import pytest
from clients.remote import java_command
from support import kafka_schema
from support.server import ROOT

MESSAGES = kafka_schema.load()
STORED = sorted(name for name, message in MESSAGES.items() if message.key is None)  # what records hold
APIS = sorted(name.removesuffix("Request") for name, message in MESSAGES.items() if message.is_request) + STORED
ROUNDS = int(os.environ.get("EVENTBOX_MESSAGE_ROUNDS", "3"))
SEED = os.environ.get("EVENTBOX_MESSAGE_SEED", "20261127")
# What Apache's classes and kafka-python's no longer speak; the server only refuses it. tests/golden/kafka has bytes
# of kafka-python 2.0.2 for these versions.
DROPPED = {"Produce": 3}


class Process:
    """A program that answers each line with one line."""

    def __init__(self, command):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, verb, message, version, argument):
        self.process.stdin.write(f"{verb} {message.name} {version} {argument}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer and not answer.startswith("error"), f"{verb} {message.name} {version} {argument}: {answer}"
        return answer.rstrip("\n")

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20) == 0
        self.process.stdout.close()


@pytest.fixture(scope="module")
def walker():
    process = Process([str(ROOT / "build-test/tests/support/kafka_walk")])
    yield process
    process.close()


@pytest.fixture(scope="module")
def java():
    process = Process(java_command("KafkaMessages"))
    yield process
    process.close()


def cases(api, first=0):
    """(message, version, body) of an API: the defaults, then random bodies, the same on every run."""
    for name in [api] if api in STORED else [api + "Request", api + "Response"]:
        message = MESSAGES[name]
        for version in message.versions:
            if version < first:
                continue
            rng = random.Random(f"{SEED} {message.name} {version}")
            yield message, version, {}
            for _ in range(ROUNDS):
                yield message, version, kafka_schema.random_body(rng, message, version)


def convert(fields, version, body, name_of, value_of, tagged_defaults=True):
    """A body in another implementation's terms; absent fields are filled in with their defaults."""
    out = {}
    for field in fields:
        if version not in field.versions:
            continue
        value = body.get(field.name, field.default(version))
        if not tagged_defaults and field.is_tagged(version) and value == field.default(version):
            continue

        def one(value, field=field):
            if value is not None and field.of:
                return convert(field.of, version, value, name_of, value_of, tagged_defaults)
            return value_of(field, value)

        out[name_of(field)] = [one(v) for v in value] if field.array and value is not None else one(value)
    return out


# -- the server's walker


def walker_value(field, value):
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    return value.hex() if isinstance(value, bytes) else value


def walker_body(message, version, body):
    return convert(message.fields, version, body, lambda field: field.name, walker_value)


@pytest.mark.parametrize("api", APIS)
def test_message__is_the_same_in_a_second_reading_of_the_schemas(api, walker):
    for message, version, body in cases(api):
        octets = message.encode(version, body)
        expected = walker_body(message, version, body)
        where = f"{message.name} {version} {body}"
        assert walker.ask("encode", message, version, json.dumps(expected)) == octets.hex(), where
        assert json.loads(walker.ask("decode", message, version, octets.hex())) == expected, where
        back, left = message.decode(version, octets)
        assert not left and walker_body(message, version, back) == expected, where


def sprinkle(rng, message, fields, version, body):
    """Tagged fields of a schema to come, in every struct."""
    known = {f.tag for f in fields}  # those of other versions are an error
    tags = {rng.choice([0, 1, 7, 200, 100000]) for _ in range(rng.randint(0, 2))} - known
    if tags:
        body["unknown tags"] = [(tag, rng.randbytes(rng.randint(0, 200))) for tag in sorted(tags)]
    for field in fields:
        value = body.get(field.name)
        if field.of and value:
            for inner in value if field.array else [value]:
                sprinkle(rng, message, field.of, version, inner)


@pytest.mark.parametrize("api", APIS)
def test_message__lets_unknown_tagged_fields_survive(api, walker):
    rng = random.Random(f"{SEED} {api}")
    for message, version, body in cases(api):
        if version in message.flexible:
            sprinkle(rng, message, message.fields, version, body)
            octets = message.encode(version, body).hex()
            assert walker.ask("recode", message, version, octets) == octets, f"{message.name} {version} {body}"


# -- Apache's classes


def java_value(field, value):
    if isinstance(value, uuid.UUID):
        return base64.urlsafe_b64encode(value.bytes).decode().rstrip("=")
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def java_body(message, version, body):
    def name_of(field):
        return field.name[0].lower() + field.name[1:]

    return convert(message.fields, version, body, name_of, java_value, tagged_defaults=False)


def without_records(body):
    """Apache's JSON has the size of records, not what they are."""
    if isinstance(body, dict):
        return {k: without_records(v) for k, v in body.items() if k not in ("records", "recordsSizeInBytes")}
    return [without_records(v) for v in body] if isinstance(body, list) else body


@pytest.mark.parametrize("api", APIS)
def test_message__is_that_of_apache_kafka(api, walker, java):
    for message, version, body in cases(api, DROPPED.get(api, 0)):
        octets = walker.ask("encode", message, version, json.dumps(walker_body(message, version, body)))
        expected = java_body(message, version, body)
        where = f"{message.name} {version} {body}"
        back = json.loads(java.ask("decode", message, version, octets))
        assert without_records(back) == without_records(expected), where
        assert java.ask("recode", message, version, octets) == octets, where
        if "ecords" not in str(expected):
            assert java.ask("encode", message, version, json.dumps(expected)) == octets, where


# -- kafka-python's classes


def kafka_python_classes():
    from kafka.protocol.api_message import ApiMessage

    for part in ("admin", "consumer", "metadata", "producer", "sasl"):
        importlib.import_module("kafka.protocol." + part)
    found = {}
    waiting = list(ApiMessage.__subclasses__())
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind._json and kind._class_version is None:
            found[kind._json["name"]] = kind
    return found


KAFKA_PYTHON = kafka_python_classes()
# What its users see otherwise than it is sent: sets of bits in place of authorized operations, version 0 for any error.
RESHAPED = {"ApiVersionsResponse", "DescribeClusterResponse", "DescribeGroupsResponse", "MetadataResponse"}


def python_message(kind, struct_of, fields, version, body):
    values = {}
    for field in fields:
        if version not in field.versions:
            continue
        value = body.get(field.name, field.default(version))
        name = struct_of.underscore_name(field.name)
        if field.is_tagged(version) and value == field.default(version):
            continue
        if field.of and value is not None:
            inner = struct_of.fields[name]
            values_of = value if field.array else [value]
            made = [python_message(inner.data_class, inner, field.of, version, v) for v in values_of]
            value = made if field.array else made[0]
        values[name] = value
    return kind(version=version, **values)


@pytest.mark.parametrize("api", [api for api in APIS if api + "Request" in KAFKA_PYTHON])
def test_message__is_that_of_kafka_python(api, walker):
    for message, version, body in cases(api, DROPPED.get(api, 0)):
        if message.name in RESHAPED:
            continue
        kind = KAFKA_PYTHON[message.name]
        octets = walker.ask("encode", message, version, json.dumps(walker_body(message, version, body)))
        where = f"{message.name} {version} {body}"
        made = python_message(kind, kind._struct, message.fields, version, body)
        assert made.encode(version=version).hex() == octets, where
        back = kind.decode(bytes.fromhex(octets), version=version)
        back._header = None
        assert back.encode().hex() == octets, where
