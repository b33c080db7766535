"""What an administrator of Apache Kafka types, against our server or any other broker (--bootstrap)."""

import json
import re
import time

import pytest
from kafka import KafkaConsumer


def node_of(tool):
    return re.search(r"\(id: (\d+) rack", tool("broker-api-versions")).group(1)


def fill(tool, topic, count=100):
    records = ("--num-records", str(count), "--record-size", "100", "--throughput", "-1")
    return tool("producer-perf-test", "--topic", topic, *records)


def test_topics_and_configs(tool, topic):
    tool("topics", "--create", "--topic", topic, "--partitions", "2", "--config", "retention.ms=5000")
    assert topic in tool("topics", "--list").split()
    out = tool("topics", "--describe", "--topic", topic)
    assert "PartitionCount: 2" in out and "retention.ms=5000" in out and "Leader: none" not in out
    tool("topics", "--alter", "--topic", topic, "--partitions", "3")
    assert "PartitionCount: 3" in tool("topics", "--describe", "--topic", topic)
    assert "would not be an increase" in tool("topics", "--alter", "--topic", topic, "--partitions", "1", code=1)
    assert "already exists" in tool("topics", "--create", "--topic", topic, code=1)
    entity = ("--entity-type", "topics", "--entity-name", topic)
    tool("configs", "--alter", *entity, "--add-config", "segment.ms=7000,cleanup.policy=[compact,delete]")
    out = tool("configs", "--describe", *entity)
    assert "segment.ms=7000" in out and "cleanup.policy=compact,delete" in out and "retention.ms=5000" in out
    assert "log.cleanup.policy=delete" in out
    tool("configs", "--alter", *entity, "--delete-config", "segment.ms")
    assert "segment.ms" not in tool("configs", "--describe", *entity)
    assert "min.insync.replicas=1" in tool("configs", "--describe", "--all", *entity)
    assert "Unknown topic config name" in tool("configs", "--alter", *entity, "--add-config", "foo=1", code=1)
    tool("topics", "--delete", "--topic", topic)
    assert topic not in tool("topics", "--list").split()


def test_configs_of_the_broker_and_of_groups(tool):
    node = node_of(tool)
    assert "num.partitions=4" in tool(
        "configs", "--describe", "--all", "--entity-type", "brokers", "--entity-name", node
    )
    entity = ("--entity-type", "brokers", "--entity-default")
    tool("configs", "--alter", *entity, "--add-config", "log.cleaner.delete.retention.ms=7000")
    assert "log.cleaner.delete.retention.ms=7000" in tool("configs", "--describe", *entity)
    tool("configs", "--alter", *entity, "--delete-config", "log.cleaner.delete.retention.ms")
    entity = ("--entity-type", "groups", "--entity-name", "a-group")
    tool("configs", "--alter", *entity, "--add-config", "consumer.session.timeout.ms=50000")
    assert "consumer.session.timeout.ms=50000" in tool("configs", "--describe", *entity)


def test_groups_offsets_and_records(tool, topic, tmp_path):
    tool("topics", "--create", "--topic", topic, "--partitions", "1")
    assert "100 records sent" in fill(tool, topic)
    group = topic + "-group"
    out = tool("consumer-perf-test", "--topic", topic, "--num-records", "100", "--group", group)
    assert re.search(r", 100, ", out), out
    assert group in tool("consumer-groups", "--list").split()
    assert re.search(rf"{topic}\s+0\s+100\s+100\s+0", tool("consumer-groups", "--describe", "--group", group))
    assert group in tool("groups", "--list")
    to_earliest = ("--reset-offsets", "--to-earliest", "--execute", "--topic", topic)
    tool("consumer-groups", "--group", group, *to_earliest)
    assert re.search(rf"{topic}\s+0\s+0\s+100\s+100", tool("consumer-groups", "--describe", "--group", group))
    tool("consumer-groups", "--delete", "--group", group)
    assert group not in tool("consumer-groups", "--list").split()
    assert f"{topic}:0:100" in tool("get-offsets", "--topic", topic)
    wanted = tmp_path / "delete.json"
    wanted.write_text(
        json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "offset": 40}]})
    )
    assert "low_watermark: 40" in tool("delete-records", "--offset-json-file", str(wanted))
    assert f"{topic}:0:40" in tool("get-offsets", "--topic", topic, "--time", "earliest")


def test_log_dirs(tool, topic):
    tool("topics", "--create", "--topic", topic, "--partitions", "1")
    fill(tool, topic)
    out = tool("log-dirs", "--describe", "--topic-list", topic)
    dirs = json.loads(out[out.index("{") : out.rindex("}") + 1])["brokers"][0]["logDirs"]
    assert dirs[0]["error"] is None
    assert dirs[0]["partitions"][0]["size"] > 100 * 100


def test_cluster_quorum_and_features(tool):
    assert re.search(r"Cluster ID: \S{22}", tool("cluster", "cluster-id"))
    out = tool("metadata-quorum", "describe", "--status")
    assert re.search(r"LeaderId:\s+\d+", out)
    assert "Leader" in tool("metadata-quorum", "describe", "--replication")
    assert "metadata.version" in tool("features", "describe")
    assert re.search(r"Produce\(0\): 0 to 13", tool("broker-api-versions"))


def test_elections_and_reassignments(tool, topic, tmp_path):
    tool("topics", "--create", "--topic", topic, "--partitions", "1")
    elected = ("--election-type", "preferred", "--topic", topic, "--partition", "0")
    assert "Valid replica already elected" in tool("leader-election", *elected)
    node = int(node_of(tool))
    plan = tmp_path / "plan.json"
    plan.write_text(
        json.dumps({"version": 1, "partitions": [{"topic": topic, "partition": 0, "replicas": [node]}]})
    )
    file = ("--reassignment-json-file", str(plan))
    assert "Successfully started" in tool("reassign-partitions", *file, "--execute")
    assert "is completed" in tool("reassign-partitions", *file, "--verify")
    assert "No partition reassignments found" in tool("reassign-partitions", "--list")


def test_verifiable_producer_and_consumer(tool, topic):
    tool("topics", "--create", "--topic", topic, "--partitions", "1")
    out = tool("verifiable-producer", "--topic", topic, "--max-messages", "50")
    assert '"sent":50' in out and '"acked":50' in out
    group = ("--group-id", topic, "--max-messages", "50", "--topic", topic, "--reset-policy", "earliest")
    out = tool("verifiable-consumer", *group)
    assert sum(json.loads(line)["count"] for line in out.splitlines() if '"records_consumed"' in line) == 50


@pytest.mark.parametrize("codec", ["none", "gzip", "lz4", "zstd"])
def test_dump_log_reads_our_segments(tool, own_server, codec):
    keyed = "".join(f"key-{i}:value-{i}\n" for i in range(50))
    own_server.kcat("-P", "-t", "dumped", "-p", "0", "-K", ":", "-z", codec, stdin=keyed)
    assert own_server.stop() == 0
    newest = max(own_server.data.glob("topics/*-0"), key=lambda folder: int(folder.name.split("-")[0]))
    segment = newest / "00000000000000000000.log"
    out = tool("dump-log", "--files", str(segment), "--deep-iteration", "--print-data-log")
    offsets = [int(offset) for offset in re.findall(r"^\| offset: (\d+)", out, re.MULTILINE)]
    assert offsets == list(range(50)), out
    assert re.findall(r"key: (\S+) payload: (\S+)", out) == [(f"key-{i}", f"value-{i}") for i in range(50)]
    assert f"compresscodec: {codec}" in out and "isvalid: true" in out and "isvalid: false" not in out


def test_dump_log_decodes_our_offsets_and_groups(tool, own_server):
    own_server.kcat("-P", "-t", "read", "-p", "0", stdin="a\nb\nc\n")
    consumer = KafkaConsumer(
        "read", bootstrap_servers=own_server.bootstrap, group_id="decoded", auto_offset_reset="earliest"
    )
    end = time.monotonic() + 30
    read = 0
    while read < 3 and time.monotonic() < end:
        read += sum(len(records) for records in consumer.poll(timeout_ms=500).values())
    consumer.commit()
    consumer.close()
    assert own_server.stop() == 0
    segments = [path for path in own_server.data.glob("topics/*/*.log") if b"decoded" in path.read_bytes()]
    assert len(segments) == 1
    out = tool("dump-log", "--files", str(segments[0]), "--offsets-decoder")
    pairs = re.findall(r"key: (\{.*\}) payload: (\{.*\})$", out, re.MULTILINE)
    found = [tuple(map(json.loads, pair)) for pair in pairs]
    offsets = [(key["data"], value["data"]) for key, value in found if key["type"] == "1"]
    groups = [(key["data"], value["data"]) for key, value in found if key["type"] == "2"]
    assert ({"group": "decoded", "topic": "read", "partition": 0}, 3) in [(k, v["offset"]) for k, v in offsets], out
    assert all(key == {"group": "decoded"} for key, _ in groups), out
    # The first is of a group that was asked for a member's id and has none yet; Kafka writes it as well.
    assert [value["protocolType"] for _, value in groups if not value["members"]][0] == "", out
    assert {value["protocolType"] for _, value in groups if value["members"]} == {"consumer"}, out
    assert [len(value["members"]) for _, value in groups][-1] == 0 and any(v["members"] for _, v in groups), out
