"""The rows of connections and small requests."""

import pathlib
import re
import socket
import struct
import subprocess
import sys
import time

from log_rows import Row
from measure import ROOT, PeakMemory, cpu_seconds

sys.path.append(str(ROOT / "tests/compat"))

SMALL = ROOT / "build/kafka_small"
CONNECTIONS = {1: 64, 100: 8, 10000: 1}  # and requests in flight on each
MANY_PARTITIONS = 10000


def framed(request, version):
    request.API_VERSION = version
    request.with_header(correlation_id=1, client_id="bench")
    return bytes(request.encode(version=version, header=True, framed=True))


def api_versions(topic):
    from kafka.protocol.metadata import ApiVersionsRequest

    return framed(ApiVersionsRequest(client_software_name="bench", client_software_version="1"), 3)


def metadata(topic):
    from kafka.protocol.metadata import MetadataRequest

    return framed(MetadataRequest(topics=[MetadataRequest.MetadataRequestTopic(name=topic)]), 9)


def produce(topic):
    """One record of 100 B, acks=all."""
    from kafka.protocol.producer import ProduceRequest
    from raw import batch, make

    rows = [{"name": topic, "partition_data": [{"index": 0, "records": batch(1, value=b"x" * 100)}]}]
    fields = {"transactional_id": None, "acks": -1, "timeout_ms": 9000, "topic_data": rows}
    return framed(make(ProduceRequest, fields), 7)


KINDS = {
    "api-versions": (api_versions, "ApiVersions"),
    "metadata": (metadata, "Metadata of one topic"),
    "produce": (produce, "Produce of one record"),
}


def load(target, settings, request, count, connections, depth):
    """{rate, cpu, peak_MiB} of @count equal requests; memory with all connections open."""
    host, port = target.bootstrap.rsplit(":", 1)
    path = pathlib.Path(settings.folder) / "request"
    path.write_bytes(request)
    command = [SMALL, host, port, path, str(count), str(connections), str(depth)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
        if client.stdout.readline() != "open\n":
            return {}
        before = cpu_seconds(target.pid)
        with PeakMemory(target.pid) as peak:
            told, _ = client.communicate("go\n")
        cpu = cpu_seconds(target.pid) - before
    found = re.search(r"small (\d+)", told)
    return {"rate": float(found.group(1)), "cpu": cpu * 1e6 / count, "peak_MiB": peak.mib} if found else {}


def small(kind, connections):
    make, title = KINDS[kind]
    depth = CONNECTIONS[connections]

    def measure(target, settings):
        request = make(target.topic(1))
        count = max(int(100_000 * settings.scale), connections * 4)
        load(target, settings, request, min(count, 10_000), 1, 64)  # what it does once is done
        return load(target, settings, request, count, connections, depth)

    where = f"{connections:,} connection{'s' if connections > 1 else ''}, {depth} in flight on each"
    return Row(f"small-{kind}-{connections}", f"{title}, {where}", measure)


def large_metadata(target, settings):
    if target.name != "eventbox" and settings.kafka_partitions < MANY_PARTITIONS:
        return {}
    request = metadata(target.topic(MANY_PARTITIONS))
    load(target, settings, request, 20, 1, 1)
    return load(target, settings, request, int(max(500 * settings.scale, 50)), 1, 2)


def idle(target, settings):
    """Resident bytes of a connection that has asked once and is silent since."""

    def resident():
        return int(re.search(r"Rss:\s+(\d+)", open(f"/proc/{target.pid}/smaps_rollup").read()).group(1)) * 1024

    host, port = target.bootstrap.rsplit(":", 1)
    sockets, request, count = [], struct.pack(">ihhih", 10, 18, 0, 7, -1), 10_000
    time.sleep(2)
    before = resident()
    begun = time.monotonic()
    try:
        for _ in range(count):
            sockets.append(socket.create_connection((host, int(port)), 30))
        for s in sockets:
            s.sendall(request)
        for s in sockets:
            s.recv(1 << 16)
        opened = time.monotonic() - begun
        time.sleep(2)
        return {"bytes": (resident() - before) / count, "open_s": opened}
    finally:
        for s in sockets:
            s.close()


ROWS = [
    *(small(kind, connections) for kind in KINDS for connections in CONNECTIONS),
    Row("metadata-10000", "Metadata of a topic with 10,000 partitions", large_metadata),
    Row("idle", "10,000 connections, silent after a first request", idle, own=True),
]
