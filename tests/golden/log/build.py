#!/usr/bin/env python3
"""Writes the files of a small topic log as commented hex, from the words of the formats alone.

One topic "golden" with one partition. Its first batch (offsets 0 and 1) is in the segment and stands
in the checkpoint at frame 2; the second (offset 2) is in frame 3 of the journal. Run it in this
folder to make the files anew; a version that has once been released is never changed, a new one gets
files of its own beside it. checkpoint-4 is a full checkpoint at frame 1, with a topic "gone" and nothing
in partition 0, and an increment to frame 2.

    checkpoint-1.hex  checkpoint-2.hex  checkpoint-3.hex  checkpoint-4.hex
    frame-1.hex  frame-2.hex  frame-2-covering.hex  frame-2-rolled.hex
    journal-end-1.hex  clean-0.hex  clean-1.hex
    index-1.hex  timeindex-1.hex  segment.hex  snapshot-1.hex  registry-1.hex  registry-state-1.hex  scrub-1.hex
    segment-long.hex  index-1-long.hex  timeindex-1-long.hex
"""

import struct

UUID = bytes(range(16))
TOPIC_ID = bytes(range(32, 48))
TIME_MS = 1700000000000


def crc32c(data):
    """CRC-32C (Castagnoli), reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def varint(number):
    number = number << 1 ^ number >> 63
    out = bytearray()
    while number & ~0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def batch(base_offset, values, producer=(-1, -1, -1)):
    """A record batch v2 of Kafka, uncompressed, records without keys."""
    records = b""
    for delta, value in enumerate(values):
        body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
        records += varint(len(body)) + body
    tail = struct.pack(">hiqqqhii", 0, len(values) - 1, TIME_MS, TIME_MS, *producer, len(values))
    tail += records
    return struct.pack(">qiibI", base_offset, len(tail) + 9, 0, 2, crc32c(tail)) + tail


def text(words):
    return struct.pack("<H", len(words)) + words


def write(name, *parts):
    """parts: pairs of a comment and bytes."""
    with open(name + ".hex", "w", encoding="ascii") as out:
        for comment, data in parts:
            out.write("# %s\n" % comment)
            for at in range(0, len(data), 32):
                out.write(data[at:at + 32].hex(" ") + "\n")


FIRST = batch(0, [b"one", b"two"], (7, 0, 0))
SECOND = batch(2, [b"three"], (7, 0, 2))


JOURNAL = struct.pack("<IQI", 0, 0, 1) + struct.pack("<IQQ", 0, 16384, 0)


def topic(number, uuid, name, configs):
    out = struct.pack("<I", number) + uuid + struct.pack("<Bi", 0, 1) + text(name)
    return out + struct.pack("<H", len(configs)) + b"".join(text(k) + text(v) for k, v in configs)


GOLDEN = topic(1, TOPIC_ID, b"golden", [(b"segment.bytes", b"5000")])


def partition(version):
    segment = struct.pack("<qQq", 0, len(FIRST), TIME_MS)
    if version >= 2:
        segment += struct.pack("<qqq", TIME_MS, TIME_MS, TIME_MS)
    producer = struct.pack("<qqB", 7, TIME_MS, 1) + struct.pack("<hiiqi", 0, 0, 1, 0, 1)
    out = struct.pack("<Iiqqi", 1, 0, 0, 2, 0) + struct.pack("<I", 1) + segment
    out += struct.pack("<II", 0, 0)
    if version >= 3:
        out += b"\0"  # never compacted
    return out + struct.pack("<I", 1) + producer


def header_of(magic, version, sequence, body):
    header = struct.pack("<IHH", magic, version, 0) + UUID
    header += struct.pack("<QQI", sequence, len(body), crc32c(body))
    return header + struct.pack("<I", crc32c(header)) + bytes(16)


def checkpoint(version):
    """Up to version 3."""
    removal = struct.pack("<IiQ", 9, 4, 1)
    if version >= 2:
        removal = struct.pack("<IiqQ", 9, -1, 4, 1)
    registry = struct.pack("<IqI", 10, 1000, 1) + GOLDEN + struct.pack("<I", 1) + removal
    if version >= 3:
        registry += struct.pack("<I", 0)  # no swap of compaction is pending
    header = header_of(0x50434245, version, 2, JOURNAL + registry + partition(version))
    write("checkpoint-%d" % version, ("header: EBCP, version, uuid, sequence 2, body bytes, CRCs", header),
          ("current file 0 at 0; one file", JOURNAL), ("registry, one topic, one removal", registry),
          ("partition 0: log end 2, one segment, one producer", partition(version)))


def checkpoint_4():
    pending = struct.pack("<I", 1) + struct.pack("<IiqQ", 9, -1, 4, 1) + struct.pack("<I", 0)
    numbers = struct.pack("<Iq", 10, 1000)
    full = JOURNAL + numbers + struct.pack("<II", 0, 0) + struct.pack("<II", 0, 2)
    full += topic(1, TOPIC_ID, b"golden", []) + topic(2, bytes(range(48, 64)), b"gone", [])
    full_header = header_of(0x50434245, 4, 1, full)
    link = struct.pack("<Q", 1) + full_header[44:48]
    head = JOURNAL + numbers + pending + struct.pack("<II", 1, 2)
    topics = struct.pack("<I", 1) + GOLDEN
    header = header_of(0x49434245, 4, 2, link + head + topics + partition(4))
    write("checkpoint-4", ("header: EBCP, version, uuid, sequence 1, body bytes, CRCs", full_header),
          ("journal, numbers, nothing pending, topics golden and gone, no partition with anything", full),
          ("header: EBCI, version, uuid, sequence 2, body bytes, CRCs", header),
          ("link: sequence 1, CRC of the header of that", link),
          ("journal, numbers, one removal, no swap, topic 2 is gone", head),
          ("topic golden, with a config now", topics),
          ("partition 0: log end 2, one segment, one producer", partition(4)))


def frame(version):
    entry = struct.pack("<IiqQqII", 1, 0, 0, len(FIRST), 2, 40, len(SECOND))
    body = entry + SECOND
    header = struct.pack("<IHH", 0x464A4245, version, 0) + UUID
    header += struct.pack("<QQIII", 3, 2, 1, len(body), crc32c(body))
    header += struct.pack("<I", crc32c(header)) + bytes(8)
    write("frame-%d" % version, ("header: EBJF, version, uuid, sequence 3, synced 2, 1 entry, body, CRCs", header),
          ("entry: topic 1, partition 0, segment 0, position, offset 2", entry), ("batch", SECOND))


def covering_frame(name, segment_base, position):
    """Frame 3 of version 2 again, which knows that the checkpoint stands for frame 2."""
    entry = struct.pack("<IiqQqII", 1, 0, segment_base, position, 2, 40, len(SECOND))
    body = entry + SECOND
    header = struct.pack("<IHH", 0x464A4245, 2, 0) + UUID
    header += struct.pack("<QQIII", 3, 2, 1, len(body), crc32c(body))
    header += struct.pack("<I", crc32c(header)) + struct.pack("<I", 1)
    header += struct.pack("<I", crc32c(header))
    write(name, ("header: as frame-2, then one frame behind the newest checkpoint, CRC", header),
          ("entry: topic 1, partition 0, segment %d, position, offset 2" % segment_base, entry), ("batch", SECOND))


def end_mark():
    """Of a journal file with 12 KiB for frames: since frames of version 2."""
    mark = struct.pack("<IHHQ", 0x454A4245, 1, 0, 12288)
    write("journal-end-1", ("EBJE, version, bytes before it, CRC", mark + struct.pack("<I", crc32c(mark))))


def clean(version):
    marker = struct.pack("<IHH", 0x4C434245, version, 0) + UUID + struct.pack("<Q", 2)
    write("clean-%d" % version, ("EBCL, version, uuid, sequence 2, CRC", marker + struct.pack("<I", crc32c(marker))))


def indexes():
    for name, magic in (("index-1", 0x58494245), ("timeindex-1", 0x58544245)):
        write(name, ("header: magic, version; no entry below 4 KiB", struct.pack("<IH", magic, 1) + bytes(10)))
    first, second = batch(0, [b"x" * 4200]), batch(1, [b"two"])
    write("segment-long", ("offset 0, more than 4 KiB", first), ("offset 1, which has an entry in both indexes", second))
    write("index-1-long", ("header: magic, version", struct.pack("<IH", 0x58494245, 1) + bytes(10)),
          ("offset less base, position", struct.pack("<II", 1, len(first))))
    write("timeindex-1-long", ("header: magic, version", struct.pack("<IH", 0x58544245, 1) + bytes(10)),
          ("largest timestamp before, offset less base", struct.pack("<qI", TIME_MS, 1)))


def snapshot():
    """Of the producer of FIRST, as of offset 2."""
    body = struct.pack("<I", 1) + struct.pack("<qqB", 7, TIME_MS, 1) + struct.pack("<hiiqi", 0, 0, 1, 0, 1)
    header = struct.pack("<IHHIiqQIII", 0x53504245, 1, 0, 1, 0, 2, len(body), crc32c(body), 0, 0)
    header += struct.pack("<I", crc32c(header))
    write("snapshot-1", ("header: EBPS, version, topic 1, partition 0, offset 2, body bytes, CRCs", header),
          ("one producer with one batch", body))


def registry():
    """A log of the registry that says it all: "golden" is made, configured, widened, and begins at offset 1; "gone" is
    made and deleted; producer ids below 1000 may have been given out."""
    values = [
        b"\1\1" + topic(1, TOPIC_ID, b"golden", []),
        b"\1\1" + topic(2, bytes(range(48, 64)), b"gone", []),
        b"\3\1" + struct.pack("<q", 1000),
        b"\4\1" + struct.pack("<IH", 1, 1) + text(b"segment.bytes") + text(b"5000"),
        b"\2\1" + struct.pack("<I", 2),
        b"\5\1" + struct.pack("<Ii", 1, 3),
        b"\6\1" + struct.pack("<Iiqq", 1, 0, 1, 0),
    ]
    write("registry-1", ("records: created twice, producer ids, configured, deleted, widened, log start", batch(0, values)))


def registry_state():
    """A log of the registry that begins with its state: "golden" as registry() leaves it, and clean up to offset 2;
    topic 9 is deleted. Then run 5 of compaction puts one segment in the place of those at 0 and 1."""
    state = b"\x08\1" + struct.pack("<Iq", 10, 1000) + struct.pack("<I", 1)
    state += struct.pack("<I", 1) + TOPIC_ID + struct.pack("<Bi", 0, 3) + text(b"golden")
    state += struct.pack("<H", 1) + text(b"segment.bytes") + text(b"5000")
    state += struct.pack("<I", 1) + struct.pack("<iqqq", 0, 1, 2, TIME_MS + 7000)
    state += struct.pack("<I", 1) + struct.pack("<Ii", 9, 4)
    swap = b"\7\1" + struct.pack("<IiQqqI", 1, 0, 5, 2, TIME_MS + 7000, 1)
    swap += struct.pack("<QqI", len(FIRST), TIME_MS, 2) + struct.pack("<qq", 0, 1)
    write("registry-state-1", ("record: the state, of one topic, one partition, one removal", batch(0, [state])),
          ("record: segments 0 and 1 are swapped for one", batch(1, [swap])))


def scrub():
    """In the middle of a round: topic 1, partition 0, the segment at offset 2 comes next."""
    place = struct.pack("<IHH", 0x43534245, 1, 1) + UUID
    place += struct.pack("<IiqqqI", 1, 0, 2, TIME_MS, TIME_MS - 5000, 0)
    write("scrub-1", ("EBSC, version, under way, uuid, place, two times, CRC", place + struct.pack("<I", crc32c(place))))


if __name__ == "__main__":
    write("segment", ("offsets 0 and 1: a record batch from byte 0", FIRST))
    checkpoint(1)
    checkpoint(2)
    checkpoint(3)
    checkpoint_4()
    frame(1)
    frame(2)
    covering_frame("frame-2-covering", 0, len(FIRST))
    covering_frame("frame-2-rolled", 2, 0)
    end_mark()
    clean(0)
    clean(1)
    indexes()
    snapshot()
    registry()
    registry_state()
    scrub()
