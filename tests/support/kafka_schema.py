"""Kafka messages from the schemas of wire/schema, in Python: a second reading of the same tables, for tests.

A body is a dict by Kafka's field names; strings are str, bytes and records bytes, uuids uuid.UUID, null None. Nothing
here is shared with the server's walker, so the two can be held against each other and against other implementations.
"""

import json
import re
import struct
import uuid

from .server import ROOT

FOLDER = ROOT / "src/modules/broker/wire/schema"
NUMBERS = {"int8": "b", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "float64": "d"}
NO_UUID = uuid.UUID(int=0)


def parse_versions(text):
    """ "3+", "0-4", "7" or "none" as a range."""
    if text in (None, "none"):
        return range(0)
    first, dash, last = re.fullmatch(r"(\d+)([+-]?)(\d*)", text).groups()
    return range(int(first), {"": int(first) + 1, "+": 0x8000, "-": int(last or 0) + 1}[dash])


class Field:
    """One field of a struct; `of` are the fields of a struct type, else None."""

    def __init__(self, row, common):
        self.name = row["name"]
        self.array = row["type"].startswith("[]")
        self.type = row["type"].removeprefix("[]")
        self.versions = parse_versions(row["versions"])
        self.nullable = parse_versions(row.get("nullableVersions"))
        self.tag = row.get("tag")
        self.tagged = parse_versions(row.get("taggedVersions"))
        rows = row.get("fields") or common.get(self.type)
        self.of = [Field(r, common) for r in rows] if rows else None
        self.given = row.get("default")

    def default(self, version):
        if self.given == "null":
            return None
        if self.array:
            return []
        if self.of:
            return {f.name: f.default(version) for f in self.of if version in f.versions}
        if self.type in NUMBERS:
            return float(self.given or 0) if self.type == "float64" else int(self.given or "0", 0)
        if self.type == "bool":
            return self.given == "true"
        if self.type == "records":
            return None
        return {"string": self.given or "", "bytes": b"", "uuid": NO_UUID}[self.type]

    def is_tagged(self, version):
        return self.tag is not None and version in self.tagged


class Reader:
    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, size):
        if size < 0 or self.at + size > len(self.data):
            raise ValueError("the message ends early")
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, code):
        return struct.unpack(">" + code, self.take(struct.calcsize(code)))[0]

    def varint(self):
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def length(self, flexible, code):
        size = self.varint() - 1 if flexible else self.unpack(code)
        return None if size < 0 else size


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def length(size, flexible, code):
    size = -1 if size is None else size
    return varint(size + 1) if flexible else struct.pack(">" + code, size)


class Message:
    """One request, response or kind of record in all its versions."""

    def __init__(self, schema):
        common = {c["name"]: c["fields"] for c in schema.get("commonStructs", [])}
        self.name = schema["name"]
        self.key = schema.get("apiKey")
        self.is_request = schema["type"] == "request"
        self.versions = parse_versions(schema["validVersions"])
        self.flexible = parse_versions(schema["flexibleVersions"])
        self.fields = [Field(row, common) for row in schema["fields"]]

    def default(self, version):
        return {f.name: f.default(version) for f in self.fields if version in f.versions}

    # -- writing

    def encode(self, version, body):
        return self._struct(self.fields, version, {**self.default(version), **body})

    def _struct(self, fields, version, body):
        flexible = version in self.flexible
        out = bytearray()
        tags = []
        for field in fields:
            if version not in field.versions:
                continue
            value = body[field.name] if field.name in body else field.default(version)
            if not field.is_tagged(version):
                out += self._field(field, version, value)
            elif value != field.default(version):
                tags.append((field.tag, self._field(field, version, value)))
        tags += body.get("unknown tags", [])
        if flexible:
            out += varint(len(tags))
            for tag, content in sorted(tags):
                out += varint(tag) + varint(len(content)) + content
        return bytes(out)

    def _field(self, field, version, value):
        if not field.array:
            return self._value(field, version, value)
        out = length(None if value is None else len(value), version in self.flexible, "i")
        return out + b"".join(self._value(field, version, element) for element in value or [])

    def _value(self, field, version, value):
        flexible = version in self.flexible
        if field.type in NUMBERS:
            return struct.pack(">" + NUMBERS[field.type], value)
        if field.type == "bool":
            return bytes([value])
        if field.type == "uuid":
            return value.bytes
        if field.of is None:
            content = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
            size = None if content is None else len(content)
            return length(size, flexible, "h" if field.type == "string" else "i") + (content or b"")
        if not field.array and version in field.nullable:
            return b"\xff" if value is None else b"\x01" + self._struct(field.of, version, value)
        return self._struct(field.of, version, value)

    # -- reading

    def decode(self, version, data):
        """The body, and the bytes that are left behind it."""
        reader = Reader(data)
        body = self._read_struct(self.fields, version, reader)
        return body, data[reader.at :]

    def _read_struct(self, fields, version, reader):
        body = {f.name: f.default(version) for f in fields if version in f.versions}
        for field in fields:
            if version in field.versions and not field.is_tagged(version):
                body[field.name] = self._read_field(field, version, reader)
        if version in self.flexible:
            known = {f.tag: f for f in fields if f.is_tagged(version) and version in f.versions}
            for _ in range(reader.varint()):
                tag = reader.varint()
                content = reader.take(reader.varint())
                if tag in known:
                    body[known[tag].name] = self._read_field(known[tag], version, Reader(content))
                else:
                    body.setdefault("unknown tags", []).append((tag, content))
        return body

    def _read_field(self, field, version, reader):
        if not field.array:
            return self._read_value(field, version, reader)
        count = reader.length(version in self.flexible, "i")
        return None if count is None else [self._read_value(field, version, reader) for _ in range(count)]

    def _read_value(self, field, version, reader):
        if field.type in NUMBERS:
            return reader.unpack(NUMBERS[field.type])
        if field.type == "bool":
            return reader.take(1) != b"\0"
        if field.type == "uuid":
            return uuid.UUID(bytes=bytes(reader.take(16)))
        if field.of is None:
            size = reader.length(version in self.flexible, "h" if field.type == "string" else "i")
            content = None if size is None else bytes(reader.take(size))
            return (
                content.decode("utf-8", "surrogateescape")
                if content and field.type == "string"
                else ("" if content == b"" and field.type == "string" else content)
            )
        if not field.array and version in field.nullable and reader.unpack("b") < 0:
            return None
        return self._read_struct(field.of, version, reader)


def load():
    """Every message by name."""
    messages = (Message(json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json")))
    return {message.name: message for message in messages}


# -- random bodies


def random_number(rng, type):
    size = struct.calcsize(NUMBERS[type])
    if type == "float64":
        return rng.choice([0.0, 1.5, -1e300, 0.1, rng.random()])
    signed = type.startswith("int")
    low = -(1 << (8 * size - 1)) if signed else 0
    high = low + (1 << 8 * size) - 1
    return rng.choice([0, low, high, 1, rng.randint(low, high), rng.randint(0, 127)])


def random_size(rng):
    """Sizes around the steps of a compact length, seldom."""
    return rng.choice([126, 127, 128, 300]) if rng.random() < 0.05 else rng.randint(0, 8)


def random_value(rng, message, field, version):
    if not field.array and version in field.nullable and rng.random() < 0.2:
        return None
    if field.type in NUMBERS:
        return random_number(rng, field.type)
    if field.type == "bool":
        return rng.random() < 0.5
    if field.type == "uuid":
        return uuid.UUID(bytes=rng.randbytes(16))
    if field.type == "string":
        return "".join(rng.choice('abcXYZ09._-é世\U0001f4e6 "\\\n') for _ in range(random_size(rng)))
    if field.of is None:
        return rng.randbytes(random_size(rng))
    return random_struct(rng, message, field.of, version)


def random_struct(rng, message, fields, version):
    body = {}
    for field in fields:
        if version not in field.versions:
            continue
        if rng.random() < 0.1 and field.type != "records":
            body[field.name] = field.default(version)
        elif field.array and version in field.nullable and rng.random() < 0.2:
            body[field.name] = None
        elif field.array:
            body[field.name] = [random_value(rng, message, field, version) for _ in range(rng.randint(0, 3))]
        else:
            body[field.name] = random_value(rng, message, field, version)
    return body


def random_body(rng, message, version):
    """A body in which every field may have any value that its type allows."""
    return random_struct(rng, message, message.fields, version)
