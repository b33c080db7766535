"""A bare Kafka client: one request by its field names, one answer, nothing done behind one's back.

The messages come from the schemas in src/modules/broker/wire/schema, so every version of every API that
the broker serves can be sent to it, and to any other broker, exactly as a test wants it:

    with Peer("127.0.0.1:9092") as peer:
        answer = peer.ask("Heartbeat", 4, GroupId="g", GenerationId=1, MemberId="m")
        assert answer["ErrorCode"] == 25
"""

import functools
import json
import pathlib
import re
import socket
import struct
import uuid

SCHEMAS = pathlib.Path(__file__).resolve().parents[2] / "src/modules/broker/wire/schema"
NUMBERS = {
    "bool": "?",
    "int8": "b",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "float64": "d",
}
ZEROS = {"string": "", "bytes": b"", "records": None, "uuid": uuid.UUID(int=0), "bool": False}


@functools.cache
def schema(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text())


@functools.cache
def within(version, text):
    """Whether @version is in "3+", "0-4", "7" or "none"."""
    found = re.fullmatch(r"(\d+)(\+|-(\d+))?", text or "none")
    if not found:
        return False
    first, last = int(found[1]), int(found[3] or 1 << 15) if found[2] else int(found[1])
    return first <= version <= last


def default_of(field):
    text, kind = field.get("default"), field["type"]
    if text == "null":
        return None
    if kind.startswith("[]"):
        return []
    if kind == "bool":
        return text == "true"
    if text is not None and kind != "string":
        return int(text, 0)
    return text if text is not None else ZEROS.get(kind, {} if "fields" in field else 0)


def may_be_absent(field, kind, version):
    """A struct by itself, not an element of an array that may be null."""
    return kind == field["type"] and within(version, field.get("nullableVersions"))


class Writer:
    def __init__(self, version, flexible):
        self.out, self.version, self.flexible = bytearray(), version, flexible

    def varint(self, value):
        while value > 127:
            self.out.append(value & 127 | 128)
            value >>= 7
        self.out.append(value)

    def length(self, size, wide):
        if self.flexible:
            self.varint(size + 1)
        else:
            self.out += struct.pack(">i" if wide else ">h", size)

    def value(self, field, kind, value):
        if kind.startswith("[]"):
            self.length(-1 if value is None else len(value), True)
            for element in value or ():
                self.value(field, kind[2:], element)
        elif kind in NUMBERS:
            self.out += struct.pack(">" + NUMBERS[kind], value)
        elif kind == "uuid":
            self.out += value.bytes
        elif kind in ("string", "bytes", "records"):
            data = value.encode() if isinstance(value, str) else value
            self.length(-1 if data is None else len(data), kind != "string")
            self.out += data or b""
        elif value is None:
            self.out.append(255)  # a struct that is not there; one that may be absent begins with 1
        else:
            self.out += b"\1" if may_be_absent(field, kind, self.version) else b""
            self.struct(field["fields"], value)

    def struct(self, fields, values):
        unknown = set(values) - {field["name"] for field in fields}
        assert not unknown, f"no field {unknown}"
        for field in fields:
            if within(self.version, field["versions"]) and not within(self.version, field.get("taggedVersions")):
                self.value(field, field["type"], values.get(field["name"], default_of(field)))
        if self.flexible:
            self.out.append(0)  # no tagged fields


class Reader:
    def __init__(self, data, version, flexible):
        self.data, self.at, self.version, self.flexible = data, 0, version, flexible

    def take(self, size):
        assert self.at + size <= len(self.data), "the answer ends early"
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self):
        value, shift = 0, 0
        while True:
            byte = self.take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def length(self, wide):
        if self.flexible:
            return self.varint() - 1
        return struct.unpack(">i" if wide else ">h", self.take(4 if wide else 2))[0]

    def value(self, field, kind):
        if kind.startswith("[]"):
            count = self.length(True)
            return None if count < 0 else [self.value(field, kind[2:]) for _ in range(count)]
        if kind in NUMBERS:
            code = ">" + NUMBERS[kind]
            return struct.unpack(code, self.take(struct.calcsize(code)))[0]
        if kind == "uuid":
            return uuid.UUID(bytes=self.take(16))
        if kind in ("string", "bytes", "records"):
            size = self.length(kind != "string")
            data = None if size < 0 else self.take(size)
            return data.decode() if kind == "string" and data is not None else data
        if may_be_absent(field, kind, self.version) and self.take(1) == b"\xff":
            return None
        return self.struct(field["fields"])

    def struct(self, fields):
        values = {}
        for field in fields:
            if within(self.version, field["versions"]) and not within(self.version, field.get("taggedVersions")):
                values[field["name"]] = self.value(field, field["type"])
        for _ in range(self.varint() if self.flexible else 0):
            tag, size = self.varint(), self.varint()
            known = [f for f in fields if f.get("tag") == tag and within(self.version, f.get("taggedVersions"))]
            end = self.at + size
            values[known[0]["name"] if known else f"tag {tag}"] = (
                self.value(known[0], known[0]["type"]) if known else self.take(size)
            )
            assert self.at == end
        return values


class Peer:
    """One connection. ask() waits for the answer; send() and answer() are its halves, for what is parked."""

    def __init__(self, bootstrap, client_id="peer", timeout=20):
        host, _, port = bootstrap.rpartition(":")
        self.client_id, self.correlation, self.sent = client_id, 0, []
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, name, version, **fields):
        message = schema(name + "Request")
        writer = Writer(version, within(version, message["flexibleVersions"]))
        self.correlation += 1
        writer.out += struct.pack(">hhi", message["apiKey"], version, self.correlation)
        client = None if self.client_id is None else self.client_id.encode()
        writer.out += struct.pack(">h", -1 if client is None else len(client)) + (client or b"")
        if writer.flexible:
            writer.out.append(0)
        writer.struct(message["fields"], fields)
        self.socket.sendall(struct.pack(">i", len(writer.out)) + writer.out)
        self.sent.append((name, version, self.correlation))

    def read(self, size):
        data = b""
        while len(data) < size:
            got = self.socket.recv(size - len(data))
            assert got, "the connection ended"
            data += got
        return data

    def answer(self):
        name, version, correlation = self.sent.pop(0)
        message = schema(name + "Response")
        data = self.read(struct.unpack(">i", self.read(4))[0])
        reader = Reader(data, version, within(version, message["flexibleVersions"]))
        assert struct.unpack(">i", reader.take(4))[0] == correlation
        if reader.flexible and name != "ApiVersions":
            assert reader.varint() == 0
        body = reader.struct(message["fields"])
        assert reader.at == len(data), "the answer goes on"
        return body

    def answered(self, within_s=0.0):
        """Whether an answer has begun to arrive."""
        timeout = self.socket.gettimeout()
        self.socket.settimeout(within_s or 0.001)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except TimeoutError:
            return False
        finally:
            self.socket.settimeout(timeout)

    def ask(self, name, version, **fields):
        self.send(name, version, **fields)
        return self.answer()
