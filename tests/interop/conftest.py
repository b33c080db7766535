"""Kafka's own command line tools: a start of one costs seconds, so scripts/kafka-tools runs them, not scripts/test."""

import os
import secrets
import subprocess

import pytest
from support.server import Eventbox

LIBS = os.environ.get("EVENTBOX_KAFKA_TOOLS")
if not LIBS:
    collect_ignore = ["test_kafka_tools.py"]

CLASSES = {
    "broker-api-versions": "org.apache.kafka.tools.BrokerApiVersionsCommand",
    "cluster": "org.apache.kafka.tools.ClusterTool",
    "configs": "kafka.admin.ConfigCommand",
    "consumer-groups": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "consumer-perf-test": "org.apache.kafka.tools.ConsumerPerformance",
    "delete-records": "org.apache.kafka.tools.DeleteRecordsCommand",
    "dump-log": "org.apache.kafka.tools.DumpLogSegments",
    "features": "org.apache.kafka.tools.FeatureCommand",
    "get-offsets": "org.apache.kafka.tools.GetOffsetShell",
    "groups": "org.apache.kafka.tools.GroupsCommand",
    "leader-election": "org.apache.kafka.tools.LeaderElectionCommand",
    "log-dirs": "org.apache.kafka.tools.LogDirsCommand",
    "metadata-quorum": "org.apache.kafka.tools.MetadataQuorumCommand",
    "producer-perf-test": "org.apache.kafka.tools.ProducerPerformance",
    "reassign-partitions": "org.apache.kafka.tools.reassign.ReassignPartitionsCommand",
    "topics": "org.apache.kafka.tools.TopicCommand",
    "verifiable-consumer": "org.apache.kafka.tools.VerifiableConsumer",
    "verifiable-producer": "org.apache.kafka.tools.VerifiableProducer",
}


@pytest.fixture(scope="session")
def bootstrap(request, tmp_path_factory):
    given = request.config.getoption("--bootstrap")
    if given:
        yield given
        return
    server = Eventbox(tmp_path_factory.mktemp("tools") / "data", modules="broker").start()
    yield server.bootstrap
    server.close()


@pytest.fixture
def own_server(tmp_path):
    """A broker whose files are at hand."""
    server = Eventbox(tmp_path / "data", modules="broker").start()
    yield server
    if server.process.poll() is None:
        server.close()


@pytest.fixture
def topic():
    return "tools-" + secrets.token_hex(6)


@pytest.fixture
def tool(bootstrap):
    """Run a tool against the broker; its output, and a failed test when it fails and was not expected to."""

    def run(name, *args, code=0):
        command = ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{LIBS}/*", CLASSES[name]]
        where = ["--bootstrap-server", bootstrap]
        if name == "dump-log":
            command += args  # it reads files
        else:
            # This one wants its subcommand first.
            command += [*args, *where] if name == "cluster" else [*where, *args]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        out = done.stdout + done.stderr
        assert code is None or done.returncode == code, f"{name} {args}: {done.returncode}\n{out}"
        return out

    return run
