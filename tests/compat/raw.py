"""Single requests of any version, as no client would send them, encoded by kafka-python."""

import importlib
import socket
import struct
import time

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
from support.record_batch import batch, crc32c, message_set, record  # for who sends and reads them

__all__ = ["batch", "crc32c", "message_set", "record"]
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
