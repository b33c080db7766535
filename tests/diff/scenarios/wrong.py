"""Bytes that are no request: cut, trailing, with nulls where none may be, of unknown keys and versions."""

import struct

from ..peer import APIS, Closed
from ..scenario import scenario, versions

SERVED_BY_ALL = (
    "Produce",
    "Fetch",
    "ListOffsets",
    "Metadata",
    "OffsetCommit",
    "FindCoordinator",
    "JoinGroup",
    "Heartbeat",
)


@scenario
def unknown_versions(side):
    for api in SERVED_BY_ALL:
        for version in (-1, versions(api)[-1] + 1, 999):
            side.ask("unknown", api, version, {}, octets=b"\0" * 8)


@scenario
def unknown_keys(side):
    for key in (-1, 4, 5, 6, 7, 999):
        try:
            side.peer.send(struct.pack(">hhih", key, 0, 1, -1))
            side.peer.receive()
            said = "an answer"
        except Closed:
            said = "the connection ends"
        side.answers[f"key {key}"] = said


@scenario
def damaged(side):
    for api in SERVED_BY_ALL:
        for version in {versions(api)[0], versions(api)[-1]}:
            if api == "Produce" and version < 3:
                continue
            whole = APIS[api].encode(version, {})
            side.ask("cut", api, version, {}, octets=whole[:-1])
            side.ask("empty", api, version, {}, octets=b"")
            side.ask("ones", api, version, {}, octets=b"\xff" * len(whole))
