"""What stands before the body: sizes, keys, versions, client ids and tags of the header."""

import struct

from ..peer import APIS, Closed
from ..scenario import coordinate, new_producer, scenario, versions
from .wrong import SERVED_BY_ALL

KEYS_PAST_ALL = 100


def say(side, label, frame, size=None):
    """Sends bytes as they are; `size` is told in place of theirs. What is compared is that there is an answer at all
    and to which request."""
    try:
        side.peer.close()
        side.peer.send(frame, size)
        answer = side.peer.receive()
        said = f"an answer to {struct.unpack('>i', answer[:4])[0]}"
    except Closed:
        said = "the connection ends"
    except TimeoutError:
        said = "no answer"
        side.peer.close()
    side.answers[label] = said


def header(key, version, client=b"\0\4diff", correlation=7):
    return struct.pack(">hhi", key, version, correlation) + client


@scenario
def keys(side):
    """Keys that neither lists; what one alone lists, the answers to ApiVersions tell."""
    for key in range(-2, KEYS_PAST_ALL):
        if key not in side.listed:
            for version in (0, 1, 9):
                say(side, f"key {key} v{version}", header(key, version) + b"\0" * 12)
    for key in (0x7FFF, -0x8000):
        say(side, f"key {key}", header(key, 0))


@scenario
def versions_outside(side):
    for api, message in APIS.items():
        if message.key in side.served:
            served = side.served[message.key]
            for version in (-1, served[0] - 1, served[-1] + 1, 0x7FFF, -0x8000):
                if version not in served:
                    side.ask("outside", api, version, {}, octets=b"\0" * 16)


@scenario
def client_ids(side):
    for api in (*SERVED_BY_ALL[1:], "ApiVersions"):  # but for Produce, which with acks 0 has no answer
        for version in {versions(api)[-1], versions(api)[0]} - {0, 1, 2}:
            message = APIS[api]
            flexible = version in message.flexible
            body = message.encode(version, {})
            tags = b"\0" if flexible else b""
            for label, client in (
                ("none", b"\xff\xff"),
                ("empty", b"\0\0"),
                ("-2", b"\xff\xfe"),
                ("least", b"\x80\0"),
                ("too long", b"\x7f\xff"),
                ("no UTF-8", b"\0\2\xff\xfe"),
                ("with a zero", b"\0\3a\0b"),
                ("long", b"\x10\0" + b"c" * 4096),
                ("cut", b"\0"),
                ("missing", b""),
            ):
                say(side, f"client id {label} {api} v{version}", header(message.key, version, client) + tags + body)
            if flexible:
                for label, other in (
                    ("missing", b""),
                    ("one", b"\1\0\1x"),
                    ("known to nobody", b"\1\xff\xff\xff\xff\7\1x"),
                    ("two the same", b"\2\5\1x\5\1y"),
                    ("downwards", b"\2\5\1x\3\1y"),
                    ("too long", b"\1\0\x7fx"),
                    ("too many", b"\x7f\0\1x"),
                    ("endless", b"\xff\xff\xff\xff\xff\xff"),
                    ("negative", b"\xff\xff\xff\xff\x0f"),
                    ("empty", b"\1\0\0"),
                ):
                    say(side, f"tags {label} {api} v{version}", header(message.key, version) + other + body)
            else:
                say(side, f"tags where none are {api} v{version}", header(message.key, version) + b"\0" + body)


@scenario
def sizes(side):
    whole = header(18, 0)
    for size in (0, -1, 1, 4, 7, 8, 9, len(whole), -(1 << 31), (1 << 31) - 1, 100 << 20 | 1):
        if size <= len(whole):
            say(side, f"size {size}", whole[: max(size, 0)], size)
        else:
            say(side, f"size {size}", whole, size)
    say(side, "http", b"GET / HTTP/1.1\r\n\r\n"[4:], struct.unpack(">i", b"GET ")[0])


@scenario
def tails(side):
    """Bytes behind a good request."""
    coordinate(side, side.topic("g"))
    new_producer(side)
    for api, message in APIS.items():
        if message.key not in side.served or api in ("JoinGroup", "Produce", "UnregisterBroker", "Metadata"):
            continue
        for version in side.served[message.key]:
            octets = message.encode(version, {})
            side.ask("tail", api, version, {}, octets=octets + b"\0")
            side.ask("long tail", api, version, {}, octets=octets + b"\xff" * 40)


@scenario
def tags_of_bodies(side):
    """Tags behind a good request: what the schema has for other versions, and sizes that are not those of a field."""
    coordinate(side, "")
    new_producer(side)
    for api, message in APIS.items():
        if message.key not in side.served or api in ("JoinGroup", "Produce", "UnregisterBroker", "Metadata"):
            continue
        for version in set(side.served[message.key]) & set(message.flexible):
            octets = message.encode(version, {})[:-1]
            for label, tags in (
                ("tag 0", b"\1\0\2\2x"),
                ("tag 0, shorter", b"\1\0\1\2x"),
                ("tag 0, longer", b"\1\0\7\2x"),
                ("tag 0 and an unknown one", b"\2\0\5\2x\x63\1y"),
                ("tag 0, empty", b"\1\0\0"),
                ("tag 1", b"\1\1\0"),
                ("tag 1, long", b"\1\1\x0d" + b"\xff" * 12 + b"\0"),
            ):
                side.ask(label, api, version, {}, octets=octets + tags)
