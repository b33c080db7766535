"""A topic log that a disk has failed says so on every port, and what it has can still be read from both Kafka ports."""

import pathlib
import shutil
import subprocess
import sys

import pytest
from confluent_kafka import Consumer, TopicPartition
from support.server import ROOT, Eventbox, wait_for
from test_17_readyz import disk, parts, ready_metric, start  # noqa: F401  (fixtures)

sys.path.append(str(ROOT / "tests/compat"))

from raw import batch, call  # noqa: E402

KAFKA_STORAGE_ERROR = 56
TOPIC = "kept"


def produce(bootstrap, acks=-1):
    row = {"name": TOPIC, "partition_data": [{"index": 0, "records": batch(1)}]}
    answer = call(bootstrap, "Produce", 9, transactional_id=None, acks=acks, timeout_ms=10000, topic_data=[row])
    return answer.responses[0].partition_responses[0]


def fetch(bootstrap, offset):
    row = {"partition": 0, "current_leader_epoch": -1, "fetch_offset": offset, "last_fetched_epoch": -1}
    row |= {"log_start_offset": -1, "partition_max_bytes": 1 << 20}
    fields = {"replica_id": -1, "max_wait_ms": 0, "min_bytes": 0, "max_bytes": 1 << 20, "isolation_level": 0}
    fields |= {"session_id": 0, "session_epoch": -1, "forgotten_topics_data": [], "rack_id": ""}
    answer = call(bootstrap, "Fetch", 11, topics=[{"topic": TOPIC, "partitions": [row]}], **fields)
    return answer.responses[0].partitions[0]


def producer_id(bootstrap):
    fields = {"transactional_id": None, "transaction_timeout_ms": -1, "producer_id": -1, "producer_epoch": -1}
    return call(bootstrap, "InitProducerId", 4, **fields)


def create(bootstrap):
    topic = {"name": TOPIC, "num_partitions": 1, "replication_factor": 1, "assignments": [], "configs": []}
    call(bootstrap, "CreateTopics", 5, topics=[topic], timeout_ms=10000, validate_only=False)


def test_failed_log__is_told_on_every_port_and_reads_go_on(start, disk, tmp_path):  # noqa: F811
    server = start(disk.mount_point / "data", f"--database_url=sqlite:///{tmp_path}/store.db")
    ports = [f"127.0.0.1:{server.external}", f"127.0.0.1:{server.internal}"]
    create(ports[0])
    assert [produce(port).error_code for port in ports] == [0, 0]
    assert [producer_id(port).error_code for port in ports] == [0, 0]
    assert parts(server) == {} and ready_metric(server) == "1"
    disk.cut()
    for port in ports * 2:  # the first is the one that fails it, the others come after
        answer = produce(port)
        assert answer.error_code == KAFKA_STORAGE_ERROR and answer.base_offset == -1
        assert answer.error_message == "The topic log has failed; the outcome is unknown until a restart"
    for port in ports:
        answer = producer_id(port)
        assert answer.error_code == KAFKA_STORAGE_ERROR and answer.producer_id == -1
        for offset in (0, 1):
            got = fetch(port, offset)
            assert got.error_code == 0 and got.high_watermark == 2 and got.records
    for port in (server.users, server.notify):
        wait_for(lambda port=port: parts(server, port).get("broker") == "failed", what="readyz")
    assert ready_metric(server) == "0"
    assert [line["level"] for line in server.log_lines() if line["action"] == "log_failed"] == ["FATAL"]


def test_failed_log__is_read_by_who_assigns_itself_also_where_no_group_ever_was(start, disk, tmp_path):  # noqa: F811
    """It asks for the coordinator, for the group's offsets, of which there are none, and begins at the front."""
    server = start(disk.mount_point / "data", f"--database_url=sqlite:///{tmp_path}/store.db")
    bootstrap = f"127.0.0.1:{server.external}"
    create(bootstrap)
    assert produce(bootstrap).error_code == 0
    disk.cut()
    assert produce(bootstrap).error_code == KAFKA_STORAGE_ERROR
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "new", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(TOPIC, 0)])
    message = wait_for(lambda: consumer.poll(1), what="the record")
    assert message.error() is None and message.offset() == 0
    subscriber = Consumer({"bootstrap.servers": bootstrap, "group.id": "other", "session.timeout.ms": 6000})
    subscriber.subscribe([TOPIC])  # its assignment could not be kept: it waits for the restart
    assert subscriber.poll(3) is None
    assert server.process.poll() is None
    consumer.close()
    subscriber.close()


def test_failed_log__takes_appends_again_after_a_restart(start, disk, tmp_path):  # noqa: F811
    database = f"--database_url=sqlite:///{tmp_path}/store.db"
    server = start(disk.mount_point / "data", database)
    bootstrap = f"127.0.0.1:{server.external}"
    create(bootstrap)
    assert produce(bootstrap).base_offset == 0
    disk.cut()
    assert produce(bootstrap).error_code == KAFKA_STORAGE_ERROR
    server.kill()
    disk.come_back()
    again = start(disk.mount_point / "data", database)
    bootstrap = f"127.0.0.1:{again.external}"
    assert fetch(bootstrap, 0).high_watermark == 1
    answer = produce(bootstrap)
    assert answer.error_code == 0 and answer.base_offset == 1
    assert parts(again) == {}


@pytest.fixture
def failing_syncs():
    """Makes every fsync and fdatasync of one file fail in a running process."""
    tracers = []

    def run(pid, path):
        calls = "fsync,fdatasync"
        command = ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(pid), "-P", str(path), "-e", f"trace={calls}"]
        tracer = subprocess.Popen(command + ["-e", f"inject={calls}:error=EIO"], stderr=subprocess.PIPE)
        tracers.append(tracer)
        tasks = pathlib.Path(f"/proc/{pid}/task")

        def traced():
            return all("TracerPid:\t0\n" not in (task / "status").read_text() for task in tasks.iterdir())

        wait_for(lambda: tracer.poll() is not None or traced(), what="strace")
        if tracer.poll() is not None:
            pytest.skip(f"strace may not trace here: {tracer.stderr.read().decode()[-200:]}")

    yield run
    for tracer in tracers:
        tracer.terminate()
        tracer.wait(20)


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")
def test_failed_sync__of_segments_fails_the_log_on_both_ports(tmp_path, failing_syncs):
    """The journal takes all writes, the disk every other sync; what fails is that of one segment, before the checkpoint
    that waits for it."""
    server = Eventbox(tmp_path / "data", modules="broker")
    server.start()
    try:
        ports = [f"127.0.0.1:{server.external}", f"127.0.0.1:{server.internal}"]
        create(ports[0])
        assert produce(ports[0]).error_code == 0
        segment = wait_for(lambda: next((tmp_path / "data").glob("topics/[1-9]*-0/*.log"), None), what="a segment")
        failing_syncs(server.process.pid, segment)
        acked = []
        wait_for(lambda: acked.append(produce(ports[0])) or acked[-1].error_code, 60, "the sync that fails")
        assert {answer.error_code for answer in acked[:-1]} <= {0}
        for port in ports:
            assert produce(port).error_code == KAFKA_STORAGE_ERROR
            got = fetch(port, 0)
            assert got.error_code == 0 and got.high_watermark >= len(acked) - 1 and got.records
        failed = [line for line in server.log_lines() if line["action"] == "log_failed"]
        assert [line["level"] for line in failed] == ["FATAL"]
    finally:
        server.kill()
