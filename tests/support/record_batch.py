"""Record batches as bytes, with every field to choose."""

import struct
import time
import zlib


def _crc_table():
    table = []
    for i in range(256):
        for _ in range(8):
            i = (i >> 1) ^ 0x82F63B78 if i & 1 else i >> 1
        table.append(i)
    return table


_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 255] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def varint(value):
    value = ((value << 1) ^ (value >> 63)) & 0xFFFFFFFFFFFFFFFF
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def record(index, key, value):
    key = varint(-1) if key is None else varint(len(key)) + key
    body = b"\0" + varint(0) + varint(index) + key + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(count=1, key=None, value=b"v", **given):
    """A record batch v2; any field of its header by name."""
    now = int(time.time() * 1000)
    f = {
        "base_offset": 0,
        "magic": 2,
        "attributes": 0,
        "last_offset_delta": count - 1,
        "timestamp": now,
        "max_timestamp": given.get("timestamp", now),
        "producer_id": -1,
        "producer_epoch": -1,
        "base_sequence": -1,
        "record_count": count,
        "records": b"".join(record(i, key, value) for i in range(count)),
    } | given
    tail = struct.pack(
        ">hiqqqhii",
        *(
            f[k]
            for k in (
                "attributes",
                "last_offset_delta",
                "timestamp",
                "max_timestamp",
                "producer_id",
                "producer_epoch",
                "base_sequence",
                "record_count",
            )
        ),
    )
    tail += f["records"]
    crc = f.get("crc", crc32c(tail))
    return struct.pack(">qiibI", f["base_offset"], len(tail) + 9, -1, f["magic"], crc) + tail


def message_set(magic):
    """One message of the format before record batches."""
    body = struct.pack(">bb", magic, 0) + (struct.pack(">q", 0) if magic else b"") + struct.pack(">ii", -1, 1) + b"v"
    message = struct.pack(">I", zlib.crc32(body)) + body
    return struct.pack(">qi", 0, len(message)) + message
