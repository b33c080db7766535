"""Single requests of any version, as no client would send them, encoded by kafka-python."""

import importlib
import socket
import struct
import time
import zlib

from kafka.protocol.admin import (
    AlterConfigsRequest,
    AlterPartitionReassignmentsRequest,
    AlterReplicaLogDirsRequest,
    CreatePartitionsRequest,
    CreateTopicsRequest,
    DeleteRecordsRequest,
    DeleteTopicsRequest,
    DescribeClusterRequest,
    DescribeConfigsRequest,
    DescribeLogDirsRequest,
    DescribeQuorumRequest,
    DescribeTopicPartitionsRequest,
    ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
    ListPartitionReassignmentsRequest,
    UpdateFeaturesRequest,
)
from kafka.protocol.consumer import FetchRequest, ListOffsetsRequest, OffsetForLeaderEpochRequest
from kafka.protocol.metadata import ApiVersionsRequest, FindCoordinatorRequest, MetadataRequest
from kafka.protocol.producer import InitProducerIdRequest, ProduceRequest

NO_ID = "00000000-0000-0000-0000-000000000000"
KINDS = (
    AlterConfigsRequest,
    AlterPartitionReassignmentsRequest,
    AlterReplicaLogDirsRequest,
    ApiVersionsRequest,
    CreatePartitionsRequest,
    DeleteRecordsRequest,
    DescribeClusterRequest,
    DescribeConfigsRequest,
    DescribeLogDirsRequest,
    DescribeQuorumRequest,
    DescribeTopicPartitionsRequest,
    ElectLeadersRequest,
    IncrementalAlterConfigsRequest,
    ListConfigResourcesRequest,
    ListPartitionReassignmentsRequest,
    UpdateFeaturesRequest,
    CreateTopicsRequest,
    DeleteTopicsRequest,
    FetchRequest,
    FindCoordinatorRequest,
    InitProducerIdRequest,
    ListOffsetsRequest,
    MetadataRequest,
    OffsetForLeaderEpochRequest,
    ProduceRequest,
)
BY_NAME = {kind.__name__.removesuffix("Request"): kind for kind in KINDS}


class Closed(Exception):
    """The broker ended the connection instead of an answer."""


def make(kind, fields):
    """A message of kafka-python from nested dicts."""
    values = {}
    for name, value in fields.items():
        field = kind._struct.fields[name]
        if field.is_struct_array() and value is not None:
            value = [make(field.data_class, row) for row in value]
        elif field.is_struct() and isinstance(value, dict):
            value = make(field.data_class, value)
        values[name] = value
    return kind(**values)


def _answer_class(kind):
    return getattr(importlib.import_module(kind.__module__), kind.__name__.replace("Request", "Response"))


class Raw:
    """One connection."""

    def __init__(self, bootstrap):
        host, port = bootstrap.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), 20)
        self.correlation_id = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, api, version, **fields):
        self.correlation_id += 1
        request = make(BY_NAME[api], fields)
        request.API_VERSION = version
        request.with_header(correlation_id=self.correlation_id, client_id="raw")
        self.socket.sendall(bytes(request.encode(version=version, header=True, framed=True)))
        return self.correlation_id

    def exactly(self, size):
        out = b""
        while len(out) < size:
            more = self.socket.recv(size - len(out))
            if not more:
                raise Closed(out)
            out += more
        return out

    def frame(self):
        return self.exactly(struct.unpack(">i", self.exactly(4))[0])

    def receive(self, api, version):
        return _answer_class(BY_NAME[api]).decode(self.frame(), version=version, header=True)

    def call(self, api, version, **fields):
        self.send(api, version, **fields)
        return self.receive(api, version)


def call(bootstrap, api, version, **fields):
    with Raw(bootstrap) as raw:
        return raw.call(api, version, **fields)


def create_topic(bootstrap, name, partitions=1, configs=None):
    """Return the topic's id, once every partition answers (a real Kafka takes a moment)."""
    rows = [{"name": k, "value": v} for k, v in (configs or {}).items()]
    topic = {"name": name, "num_partitions": partitions, "replication_factor": 1, "assignments": [], "configs": rows}
    with Raw(bootstrap) as raw:
        answer = raw.call("CreateTopics", 7, topics=[topic], timeout_ms=20000, validate_only=False)
        assert answer.topics[0].error_code == 0, answer
        asked = [{"partition_index": p, "timestamp": -1} for p in range(partitions)]
        end = time.monotonic() + 20
        while True:
            listed = raw.call(
                "ListOffsets", 1, replica_id=-1, isolation_level=0, topics=[{"name": name, "partitions": asked}]
            )
            if all(p.error_code == 0 for p in listed.topics[0].partitions):
                return answer.topics[0].topic_id
            assert time.monotonic() < end, listed
            time.sleep(0.05)


# ---- record batches, with every field to choose


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
