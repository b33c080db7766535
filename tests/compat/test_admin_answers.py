"""Topics, partitions, configs and the cluster, request by request and version by version, with wrong input."""

import secrets
import struct

import pytest
from raw import NO_ID, Raw, batch, call, create_topic
from support.server import wait_for

OTHER_ID = "00000000-0000-0000-0000-000000000005"


@pytest.fixture(scope="module")
def node(brokers):
    return call(brokers["external"], "Metadata", 9, topics=[], allow_auto_topic_creation=False).brokers[0].node_id


@pytest.fixture
def place(bootstrap, topic):
    """A topic with two partitions; ten records in the first."""
    topic_id = create_topic(bootstrap, topic, 2)
    rows = [{"name": topic, "partition_data": [{"index": 0, "records": batch(10, timestamp=1000)}]}]
    answer = call(bootstrap, "Produce", 9, transactional_id=None, acks=-1, timeout_ms=9000, topic_data=rows)
    assert answer.responses[0].partition_responses[0].error_code == 0
    return topic, topic_id


# ---- CreateTopics, DeleteTopics


def wanted(name, partitions=1, replicas=1, assignments=(), configs=()):
    return {
        "name": name,
        "num_partitions": partitions,
        "replication_factor": replicas,
        "assignments": [{"partition_index": p, "broker_ids": b} for p, b in assignments],
        "configs": [{"name": n, "value": v} for n, v in configs],
    }


def create(bootstrap, version, *topics, validate_only=True, timeout_ms=20000):
    answer = call(
        bootstrap, "CreateTopics", version, topics=topics, validate_only=validate_only, timeout_ms=timeout_ms
    )
    return answer.topics


@pytest.mark.parametrize("version", range(2, 8))
def test_create_topics_validates_and_makes(bootstrap, topic, version):
    assert create(bootstrap, version, wanted(topic, -1, -1))[0].error_code == 0
    row = create(bootstrap, version, wanted(topic, 3), validate_only=False)[0]
    assert row.error_code == 0
    if version >= 5:
        assert (row.num_partitions, row.replication_factor) == (3, 1)
        assert {c.name for c in row.configs} > {"retention.ms", "cleanup.policy"}
    assert create(bootstrap, version, wanted(topic))[0].error_code == 36


def test_create_topics_refuses_as_kafka_does(bootstrap, topic, node):
    for error, row in (
        (37, wanted(topic, 0)),
        (37, wanted(topic, -2)),
        (38, wanted(topic, 1, 0)),
        (38, wanted(topic, 1, -2)),
        (17, wanted("")),
        (17, wanted("..")),
        (17, wanted("a b")),
        (17, wanted("x" * 250)),
        (42, wanted("__cluster_metadata")),
        (42, wanted(topic, 1, -1, [(0, [node])])),
        (42, wanted(topic, -1, 1, [(0, [node])])),
        (39, wanted(topic, -1, -1, [(1, [node])])),
        (39, wanted(topic, -1, -1, [(0, [node]), (0, [node])])),
        (39, wanted(topic, -1, -1, [(0, [])])),
        (39, wanted(topic, -1, -1, [(0, [node + 7])])),
        (39, wanted(topic, -1, -1, [(0, [node, node])])),
        (40, wanted(topic, configs=[("foo", "1")])),
        (40, wanted(topic, configs=[("retention.ms", "x")])),
        (40, wanted(topic, configs=[("retention.ms", None)])),
        (40, wanted(topic, configs=[("segment.bytes", "14")])),
        (40, wanted(topic, configs=[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")])),
        (44, wanted(topic, 10001)),
        (0, wanted(topic, -1, -1, [(1, [node]), (0, [node])])),
    ):
        assert create(bootstrap, 7, row)[0].error_code == error, row
    rows = create(bootstrap, 7, wanted(topic), wanted(topic + "b"), wanted(topic))
    assert {r.name: r.error_code for r in rows} == {topic: 42, topic + "b": 0}
    assert create(bootstrap, 7, wanted(topic), validate_only=False, timeout_ms=0)[0].error_code == 7
    assert create(bootstrap, 7, wanted(topic + "_a"), validate_only=False)[0].error_code == 0
    assert create(bootstrap, 7, wanted(topic + ".a"))[0].error_code == 17  # metrics cannot tell them apart
    assert create(bootstrap, 7) == []


def test_delete_topics_by_name_and_id(bootstrap, place):
    name, topic_id = place

    def delete(version, *rows, timeout_ms=20000):
        fields = {"topics": [{"name": n, "topic_id": i} for n, i in rows]} if version > 5 else {"topic_names": rows}
        answer = call(bootstrap, "DeleteTopics", version, timeout_ms=timeout_ms, **fields)
        return [r.error_code for r in answer.responses]

    absent = "absent-" + secrets.token_hex(4)
    for version in range(1, 6):
        assert delete(version, absent) == [3]
    assert delete(5, absent, absent) == [42]
    assert delete(6, (absent, NO_ID)) == [3]
    assert delete(6, (None, OTHER_ID)) == [100]
    assert delete(6, (name, OTHER_ID)) == [42]
    assert delete(6, (None, NO_ID)) == [42]
    assert delete(6, (None, topic_id), (name, NO_ID)) == [42]  # one topic by both of its names
    assert delete(6, (name, NO_ID), timeout_ms=0) == [7]
    assert delete(6) == []
    assert delete(6, (None, topic_id)) == [0]
    assert delete(6, (None, topic_id)) == [100]


# ---- CreatePartitions, DeleteRecords


@pytest.mark.parametrize("version", range(4))
def test_create_partitions(bootstrap, place, node, version):
    name = place[0]

    def add(count, assignments=None, topic=name, validate_only=True, timeout_ms=20000):
        rows = None if assignments is None else [{"broker_ids": b} for b in assignments]
        row = {"name": topic, "count": count, "assignments": rows}
        answer = call(
            bootstrap,
            "CreatePartitions",
            version,
            topics=[row],
            timeout_ms=timeout_ms,
            validate_only=validate_only,
        )
        return answer.results[0].error_code

    assert [add(n) for n in (3, 2, 1, 0, -1)] == [0, 37, 37, 37, 37]
    assert add(3, [[node]]) == 0
    assert [add(3, a) for a in ([], [[]], [[node + 7]], [[node, node]], [[node], [node]])] == [39] * 5
    assert add(3, topic="absent") == 3
    assert add(3, validate_only=False, timeout_ms=0) == 7
    assert add(3, validate_only=False) == 0
    rows = [{"name": name, "partition_data": [{"index": 2, "records": batch(1, timestamp=1000)}]}]

    def takes_records():
        answer = call(bootstrap, "Produce", 9, transactional_id=None, acks=-1, timeout_ms=9000, topic_data=rows)
        return answer.responses[0].partition_responses[0].error_code == 0

    wait_for(takes_records, what="the new partition")


def test_create_partitions_answers_each_topic_G20(bootstrap, place):
    absent = "absent-" + secrets.token_hex(4)
    rows = [{"name": name, "count": count, "assignments": None} for name, count in ((place[0], 3), (absent, 3))]
    answer = call(bootstrap, "CreatePartitions", 3, topics=rows, timeout_ms=20000, validate_only=True)
    assert {r.name: r.error_code for r in answer.results} == {place[0]: 0, absent: 3}
    twice = [rows[0], rows[0], rows[1]]
    answer = call(bootstrap, "CreatePartitions", 3, topics=twice, timeout_ms=20000, validate_only=True)
    assert {r.name: r.error_code for r in answer.results} == {place[0]: 42, absent: 3}


def test_more_replicas_than_brokers_are_refused_or_reported_as_one_G18(bootstrap, topic):
    """Kafka refuses; our server takes what was written for a cluster, and says what there is."""
    row = create(bootstrap, 7, wanted(topic, 2, 3), validate_only=False)[0]
    found = call(bootstrap, "Metadata", 9, topics=[{"name": topic}], allow_auto_topic_creation=False).topics[0]
    if row.error_code == 0:
        assert row.replication_factor == 1
        assert [len(p.replica_nodes) for p in found.partitions] == [1, 1]
    else:
        assert row.error_code == 38 and found.error_code == 3


@pytest.mark.parametrize("version", range(3))
def test_delete_records_G60(bootstrap, place, version):
    name = place[0]

    def delete(offset, partition=0, topic=name):
        rows = [{"name": topic, "partitions": [{"partition_index": partition, "offset": offset}]}]
        row = call(bootstrap, "DeleteRecords", version, topics=rows, timeout_ms=20000).topics[0].partitions[0]
        return row.error_code, row.low_watermark

    assert delete(11) == (1, -1)
    assert delete(-2) == (1, -1)
    assert delete(0, 7) == (3, -1)
    assert delete(0, 0, "absent") == (3, -1)
    assert delete(4) == (0, 4)
    assert delete(2) == (0, 4)
    asked = [{"name": name, "partitions": [{"partition_index": 0, "timestamp": -2}]}]
    listed = call(bootstrap, "ListOffsets", 1, replica_id=-1, isolation_level=0, topics=asked)
    assert listed.topics[0].partitions[0].offset == 4
    assert delete(-1) == (0, 10)


# ---- configs


def describe(bootstrap, kind, name, keys=None, version=4, **fields):
    rows = [{"resource_type": kind, "resource_name": name, "configuration_keys": keys}]
    fields = {"include_synonyms": True, "include_documentation": True} | fields
    if version < 3:
        fields.pop("include_documentation")
    return call(bootstrap, "DescribeConfigs", version, resources=rows, **fields).results[0]


def alter(bootstrap, kind, name, *operations, version=1, validate_only=False):
    configs = [{"name": n, "config_operation": op, "value": v} for n, op, v in operations]
    rows = [{"resource_type": kind, "resource_name": name, "configs": configs}]
    answer = call(bootstrap, "IncrementalAlterConfigs", version, resources=rows, validate_only=validate_only)
    return answer.responses[0].error_code


SET, DELETE, APPEND, SUBTRACT = range(4)
TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32


def settles(bootstrap, topic, key, expected):
    """A real Kafka takes a moment from the answer to the config."""

    def found():
        config = describe(bootstrap, TOPIC, topic, [key]).configs[0]
        return (config.value, config.config_source) == expected

    wait_for(found, what=f"{key} {expected}")


@pytest.mark.parametrize("version", range(1, 5))
def test_describe_configs_tells_everything(bootstrap, place, node, version):
    result = describe(bootstrap, TOPIC, place[0], version=version)
    assert result.error_code == 0
    rows = {c.name: c for c in result.configs}
    assert len(rows) >= 33
    assert (rows["retention.ms"].value, rows["retention.ms"].config_source) == ("604800000", 5)
    assert [(s.name, s.source) for s in rows["cleanup.policy"].synonyms] == [("log.cleanup.policy", 5)]
    if version >= 3:
        assert rows["retention.ms"].config_type == 5 and rows["cleanup.policy"].config_type == 7
        assert all(len(c.documentation) > 10 for c in result.configs)
    assert not any(c.read_only or c.is_sensitive for c in result.configs)
    broker = {c.name: c for c in describe(bootstrap, BROKER, str(node), version=version).configs}
    assert broker["node.id"].read_only and broker["node.id"].value == str(node)
    assert not broker["log.retention.ms"].read_only
    assert len(describe(bootstrap, GROUP, "g", version=version).configs) == 17
    assert len(describe(bootstrap, METRICS, "m", version=version).configs) == 3


def test_topic_of_offsets__has_the_configs_that_kafka_sets(bootstrap):
    """Its codec is nobody's default: it stays the producer's when the broker's compression.type is another."""
    call(bootstrap, "FindCoordinator", 4, key_type=0, coordinator_keys=["configs-of-offsets"])
    wait_for(lambda: describe(bootstrap, TOPIC, "__consumer_offsets").error_code == 0, what="the topic of offsets")
    found = describe(bootstrap, TOPIC, "__consumer_offsets").configs
    own = {c.name: c.value for c in found if c.config_source == 1}
    assert own.pop("segment.bytes")
    assert own == {"cleanup.policy": "compact", "compression.type": "producer"}


def test_loggers__are_none(bootstrap, node):
    """Kafka's are its classes; ours has one level, which is a setting."""
    found = describe(bootstrap, LOGGER, str(node))
    assert (found.error_code, found.configs) == (0, []) or len(found.configs) > 100


def test_every_config_of_the_broker_is_told(bootstrap, node):
    """Apache Kafka 4.3.1 has 340; with secrets that nobody sees, and a default where there is one."""
    rows = {c.name: c for c in describe(bootstrap, BROKER, str(node)).configs}
    assert len(rows) == 340
    assert {n for n, c in rows.items() if c.is_sensitive} == {n for n, c in rows.items() if c.config_type == 9}
    assert len([c for c in rows.values() if c.is_sensitive]) == 10
    assert all(c.value is None for c in rows.values() if c.is_sensitive)
    assert all(len(c.documentation) > 10 for c in rows.values())
    for name, value, kind in (
        ("background.threads", "10", 3),
        ("sasl.login.refresh.buffer.seconds", "300", 4),
        ("log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308", 6),
        ("ssl.enabled.protocols", "TLSv1.2,TLSv1.3", 7),
        ("ssl.engine.factory.class", None, 8),
        ("remote.log.storage.system.enable", "false", 1),
        ("quota.window.num", "11", 3),
    ):
        row = rows[name]
        told = [(s.name, s.value, s.source) for s in row.synonyms]
        assert (row.value, row.config_type, row.config_source) == (value, kind, 5), name
        assert told == ([] if value is None else [(name, value, 5)]), name


def test_what_tunes_kafka_while_it_runs_is_taken_and_shown(bootstrap, node):
    """Of the configs without effect as well, since tools set them; others are read-only as with Kafka."""
    key, name = "log.cleaner.io.buffer.size", str(node)

    def shown():
        row = describe(bootstrap, BROKER, name, [key]).configs[0]
        return row.value, row.config_source

    try:
        assert alter(bootstrap, BROKER, "", (key, SET, "600000")) == 0
        wait_for(lambda: shown() == ("600000", 3), what="the default of all nodes")
        assert alter(bootstrap, BROKER, name, (key, SET, "700000")) == 0
        wait_for(lambda: shown() == ("700000", 2), what="the value of this node")
        row = describe(bootstrap, BROKER, name, [key]).configs[0]
        assert [(s.value, s.source) for s in row.synonyms] == [("700000", 2), ("600000", 3), ("524288", 5)]
        assert not row.read_only
    finally:
        alter(bootstrap, BROKER, "", (key, DELETE, None))
        alter(bootstrap, BROKER, name, (key, DELETE, None))
    for error, key, value in (
        (42, "log.cleaner.io.buffer.size", "-1"),
        (42, "log.cleaner.backoff.ms", "x"),
        (42, "background.threads", "0"),
        (42, "compression.gzip.level", "77"),
        (42, "log.cleaner.dedupe.buffer.size", "1"),
        (42, "follower.fetch.last.tiered.offset.enable", "yes"),
        (42, "group.coordinator.cached.buffer.max.bytes", "1"),
        (42, "quota.window.num", "5"),
        (42, "advertised.listeners", "PLAINTEXT://:1"),
        (0, "log.preallocate", "true"),
        (0, "log.cleaner.io.max.bytes.per.second", "1.7976931348623157E308"),
        (0, "transaction.partition.verification.enable", "false"),
    ):
        assert alter(bootstrap, BROKER, name, (key, SET, value), validate_only=True) == error, (key, value)


def test_describe_configs_of_what_is_not(bootstrap, place):
    absent = "absent-" + secrets.token_hex(4)
    for error, kind, name in (
        (3, TOPIC, absent),
        (17, TOPIC, ""),
        (17, TOPIC, "a b"),
        (42, BROKER, "x"),
        (42, BROKER, "77"),
        (0, BROKER, ""),
        (42, LOGGER, ""),
        (42, LOGGER, "77"),
        (42, GROUP, ""),
        (42, METRICS, ""),
        (42, 0, "x"),
        (42, 3, "x"),
        (42, 64, "x"),
    ):
        assert describe(bootstrap, kind, name).error_code == error, (kind, name)
    assert [c.name for c in describe(bootstrap, TOPIC, place[0], ["x", "segment.ms"]).configs] == ["segment.ms"]
    assert len(describe(bootstrap, TOPIC, place[0], []).configs) >= 33


@pytest.mark.parametrize("version", range(2))
def test_incremental_alter_configs(bootstrap, place, version):
    name = place[0]

    def do(*operations, **fields):
        return alter(bootstrap, TOPIC, name, *operations, version=version, **fields)

    assert do(("retention.ms", SET, "5000"), validate_only=True) == 0
    settles(bootstrap, name, "retention.ms", ("604800000", 5))
    assert do(("retention.ms", SET, "5000"), ("segment.ms", SET, "7000")) == 0
    settles(bootstrap, name, "retention.ms", ("5000", 1))
    assert do(("retention.ms", SET, "1"), ("segment.ms", SET, "x")) == 40  # all or nothing
    settles(bootstrap, name, "retention.ms", ("5000", 1))
    assert do(("retention.ms", DELETE, None)) == 0
    settles(bootstrap, name, "retention.ms", ("604800000", 5))
    for operation, value, then in (
        (SET, "compact", "compact"),
        (APPEND, "delete", "compact,delete"),
        (APPEND, "delete", "compact,delete"),
        (SUBTRACT, "compact", "delete"),
        (SUBTRACT, "compact", "delete"),
        (SUBTRACT, "delete", ""),
    ):
        assert do(("cleanup.policy", operation, value)) == 0
        settles(bootstrap, name, "cleanup.policy", (then, 1))
    for error, operations in (
        (40, [("foo", SET, "1")]),
        (0, [("foo", DELETE, None)]),
        (42, [("segment.ms", SET, None)]),
        (42, [("segment.ms", SET, "1"), ("segment.ms", DELETE, None)]),
        (40, [("segment.ms", APPEND, "1")]),
        (40, [("segment.ms", SUBTRACT, "1")]),
        (-1, [("segment.ms", 9, "1")]),
        (40, [("cleanup.policy", APPEND, "foo")]),
        (40, [("remote.storage.enable", SET, "true")]),
        (40, [("message.format.version", SET, "3.0")]),
    ):
        assert do(*operations, validate_only=True) == error, operations


def test_incremental_alter_configs_of_what_is_not(bootstrap, node):
    for error, kind, name, key, value in (
        (3, TOPIC, "absent", "segment.ms", "1000"),
        (42, TOPIC, "", "segment.ms", "1000"),
        (17, TOPIC, "a b", "segment.ms", "1000"),
        (42, BROKER, "x", "log.retention.ms", "5000"),
        (42, BROKER, "77", "log.retention.ms", "5000"),
        (42, BROKER, str(node), "num.partitions", "5"),
        (42, BROKER, str(node), "node.id", "5"),
        (42, BROKER, str(node), "log.retention.ms", "x"),
        (40, LOGGER, str(node), "nope", "DEBUG"),
        (42, LOGGER, "77", "nope", "DEBUG"),
        (42, GROUP, "", "share.session.timeout.ms", "45000"),
        (40, GROUP, "g", "foo", "1"),
        (40, GROUP, "g", "consumer.session.timeout.ms", "1"),
        (42, METRICS, "", "interval.ms", "1000"),
        (42, METRICS, "m", "interval.ms", "1"),
        (42, METRICS, "m", "foo", "1"),
        (40, METRICS, "m", "match", "foo=x"),
        (42, 0, "x", "x", "1"),
        (42, 64, "x", "x", "1"),
    ):
        assert alter(bootstrap, kind, name, (key, SET, value), validate_only=True) == error, (kind, name, key)


def test_a_rate_that_is_not_set_can_be_taken_back(bootstrap, node):
    """Kafka's tool for reassignments does so after each."""
    assert alter(bootstrap, BROKER, str(node), ("leader.replication.throttled.rate", DELETE, None)) == 0


def test_resources_that_are_not_topics_keep_their_configs_G65(bootstrap, node):
    """Share-group tests of clients set configs of groups; telemetry is set the same way."""
    group = "g-" + secrets.token_hex(4)
    assert alter(bootstrap, GROUP, group, ("share.auto.offset.reset", SET, "earliest")) == 0
    config = describe(bootstrap, GROUP, group, ["share.auto.offset.reset"]).configs[0]
    assert config.value == "earliest" and config.config_source == 8

    def listed(kind):
        answer = call(bootstrap, "ListConfigResources", 1, resource_types=[kind])
        assert answer.error_code == 0
        return [r.resource_name for r in answer.config_resources]

    assert group in listed(GROUP)
    assert listed(BROKER) == listed(LOGGER) == [str(node)]
    assert alter(bootstrap, GROUP, group, ("share.auto.offset.reset", DELETE, None)) == 0
    assert group not in listed(GROUP)
    assert alter(bootstrap, METRICS, group, ("interval.ms", SET, "1000")) == 0
    answer = call(bootstrap, "ListConfigResources", 0)
    assert group in [r.resource_name for r in answer.config_resources]
    assert alter(bootstrap, METRICS, group, ("interval.ms", DELETE, None)) == 0
    assert call(bootstrap, "ListConfigResources", 1, resource_types=[3]).error_code == 35


def test_what_the_broker_sets_is_what_topics_fall_back_to(bootstrap, place, node):
    name = place[0]
    try:
        assert alter(bootstrap, BROKER, "", ("log.cleaner.delete.retention.ms", SET, "7000")) == 0
        settles(bootstrap, name, "delete.retention.ms", ("7000", 3))
        assert alter(bootstrap, BROKER, str(node), ("log.cleaner.delete.retention.ms", SET, "8000")) == 0
        settles(bootstrap, name, "delete.retention.ms", ("8000", 2))
        row = describe(bootstrap, TOPIC, name, ["delete.retention.ms"]).configs[0]
        assert [(s.value, s.source) for s in row.synonyms] == [("8000", 2), ("7000", 3), ("86400000", 5)]
        assert alter(bootstrap, TOPIC, name, ("delete.retention.ms", SET, "9000")) == 0
        settles(bootstrap, name, "delete.retention.ms", ("9000", 1))
    finally:
        alter(bootstrap, BROKER, "", ("log.cleaner.delete.retention.ms", DELETE, None))
        alter(bootstrap, BROKER, str(node), ("log.cleaner.delete.retention.ms", DELETE, None))


@pytest.mark.parametrize("version", range(3))
def test_alter_configs_replaces_all(bootstrap, place, version):
    def replace(*pairs, name=place[0], kind=TOPIC):
        rows = [
            {"resource_type": kind, "resource_name": name, "configs": [{"name": n, "value": v} for n, v in pairs]}
        ]
        return call(bootstrap, "AlterConfigs", version, resources=rows, validate_only=False).responses[0].error_code

    assert replace(("retention.ms", "5000"), ("segment.ms", "6000")) == 0
    assert replace(("segment.ms", "7000")) == 0
    settles(bootstrap, place[0], "retention.ms", ("604800000", 5))
    settles(bootstrap, place[0], "segment.ms", ("7000", 1))
    assert replace(("foo", "1")) == 40
    assert replace(("segment.ms", None)) == 42
    assert replace(("segment.ms", "1"), ("segment.ms", "2")) == 42
    assert replace(name="absent") == 3
    assert replace(name="x", kind=LOGGER) == 42
    assert replace() == 0
    settles(bootstrap, place[0], "segment.ms", ("604800000", 5))


# ---- folders, replicas, the cluster


@pytest.mark.parametrize("version", range(1, 5))
def test_log_dirs(bootstrap, place, version):
    def ask(topics):
        return call(bootstrap, "DescribeLogDirs", version, topics=topics).results[0]

    found = ask([{"topic": place[0], "partitions": [0, 1, 7]}])
    assert found.error_code == 0 and len(found.topics) == 1
    rows = {p.partition_index: p for p in found.topics[0].partitions}
    assert set(rows) == {0, 1}
    assert rows[0].partition_size > 61 and rows[1].partition_size == 0
    assert all(r.offset_lag == 0 and not r.is_future_key for r in rows.values())
    if version >= 4:
        assert found.total_bytes > found.usable_bytes > 0
    assert ask([]).topics == []
    assert place[0] in [t.name for t in ask(None).topics]

    def move(path, topic=place[0], partition=0):
        dirs = [{"path": path, "topics": [{"name": topic, "partitions": [partition]}]}]
        answer = call(bootstrap, "AlterReplicaLogDirs", min(version, 2), dirs=dirs)
        return answer.results[0].partitions[0].error_code

    assert [move(found.log_dir), move("/nowhere"), move(found.log_dir, "absent")] == [0, 57, 3]
    assert move(found.log_dir, partition=9) == 3


def test_log_dirs_have_one_row_for_a_topic_of_several_folders(bootstrap, place):
    topic = place[0]
    rows = [{"path": f"/nowhere{i}", "topics": [{"name": topic, "partitions": p}]} for i, p in enumerate(([0, 1], [0]))]
    results = call(bootstrap, "AlterReplicaLogDirs", 1, dirs=rows).results
    assert [(r.topic_name, sorted(p.partition_index for p in r.partitions)) for r in results] == [(topic, [0, 1])]


def test_a_long_list_of_partitions_is_answered_in_time(bootstrap):
    """Each of them is compared with the others; were it by pairs, the server would stand still for minutes."""
    topics = [{"name": "none", "partitions": list(range(400_000))}, {"name": "other", "partitions": [1, 2]}]
    dirs = [{"path": "/nowhere", "topics": topics}, {"path": "/elsewhere", "topics": topics[1:]}]
    results = call(bootstrap, "AlterReplicaLogDirs", 1, dirs=dirs).results
    assert sorted((r.topic_name, len(r.partitions)) for r in results) == [("none", 400_000), ("other", 2)]


def test_a_topic_without_partitions_has_no_row(bootstrap, place):
    topic = place[0]
    empty = [{"name": topic, "partitions": []}]
    assert call(bootstrap, "ListOffsets", 5, replica_id=-1, isolation_level=0, topics=empty).topics == []
    assert call(bootstrap, "DeleteRecords", 1, topics=empty, timeout_ms=9000).topics == []
    dirs = [{"path": "/nowhere", "topics": empty}]
    assert call(bootstrap, "AlterReplicaLogDirs", 1, dirs=dirs).results == []


def test_a_topic_that_was_only_validated_has_an_id(bootstrap, topic):
    made = create(bootstrap, 7, wanted(topic))[0].topic_id
    assert made and str(made) != NO_ID


@pytest.mark.parametrize("name", ["__share_group_state", "__transaction_state"])
def test_kafkas_own_topics_are_made_by_request_and_only_read(bootstrap, name):
    call(bootstrap, "DeleteTopics", 5, topic_names=[name], timeout_ms=9000)  # of who was here before
    assert create(bootstrap, 7, wanted(name, 2))[0].error_code == 0
    assert create(bootstrap, 7, wanted(name, 2), validate_only=False)[0].error_code == 0

    def described():
        topics = call(bootstrap, "Metadata", 9, topics=[{"name": name}], allow_auto_topic_creation=False).topics
        return topics[0] if topics[0].error_code == 0 else None

    found = wait_for(described, what=name)
    assert found.is_internal and len(found.partitions) == 2
    rows = [{"name": name, "partition_data": [{"index": 0, "records": batch(1)}]}]
    answer = call(bootstrap, "Produce", 9, transactional_id=None, acks=-1, timeout_ms=9000, topic_data=rows)
    assert answer.responses[0].partition_responses[0].error_code == 17
    grown = [{"name": name, "count": 3, "assignments": None}]
    answer = call(bootstrap, "CreatePartitions", 3, topics=grown, timeout_ms=9000, validate_only=False)
    assert answer.results[0].error_code == 0
    assert call(bootstrap, "DeleteTopics", 5, topic_names=[name], timeout_ms=9000).responses[0].error_code == 0
    assert create(bootstrap, 7, wanted("__cluster_metadata"))[0].error_code == 42


def test_internal_segment_bytes_is_shown_where_it_is_set(bootstrap, topic):
    create_topic(bootstrap, topic, 1, {"internal.segment.bytes": " 5000"})
    create_topic(bootstrap, topic + "-other", 1)

    def shown(name):
        resource = [{"resource_type": 2, "resource_name": name, "configuration_keys": ["internal.segment.bytes"]}]
        configs = call(bootstrap, "DescribeConfigs", 4, resources=resource).results[0].configs
        return [(c.value, c.config_source, c.read_only) for c in configs]

    assert shown(topic) == [(" 5000", 1, False)]
    assert shown(topic + "-other") == []


def test_min_insync_replicas_is_the_clusters(bootstrap, place, node):
    resource = [{"resource_type": 2, "resource_name": place[0], "configuration_keys": ["min.insync.replicas"]}]
    row = call(bootstrap, "DescribeConfigs", 4, resources=resource, include_synonyms=True).results[0].configs[0]
    assert (row.value, row.config_source) == ("1", 3)
    assert [s.source for s in row.synonyms] == [3, 5]

    def alter(name, operation, value):
        configs = [{"name": "min.insync.replicas", "config_operation": operation, "value": value}]
        rows = [{"resource_type": 4, "resource_name": name, "configs": configs}]
        return call(bootstrap, "IncrementalAlterConfigs", 1, resources=rows, validate_only=True).responses[0].error_code

    assert alter("", 1, None) == 40
    assert alter(str(node), 0, "1") == 40
    assert alter("", 0, "1") == 0


def test_of_several_faults_kafkas_first_is_told(bootstrap, topic):
    for configs, text in (
        ((("cleanup.policy", "burn"), ("retention.ms", "x")), "Invalid value x for configuration retention.ms"),
        ((("retention.ms", "x"), ("none", "1")), "Unknown topic config name: none"),
        ((("none", None), ("retention.ms", None)), "Null value not supported for topic configs: none,retention.ms"),
    ):
        assert create(bootstrap, 7, wanted(topic, configs=configs))[0].error_message.startswith(text)


def test_nothing_moves_on_one_node(bootstrap, place, node):
    name = place[0]

    def elect(kind, rows, version=2):
        fields = {"election_type": kind} if version else {}
        topics = None if rows is None else [{"topic": t, "partitions": p} for t, p in rows]
        return call(bootstrap, "ElectLeaders", version, topic_partitions=topics, timeout_ms=20000, **fields)

    for version in range(3):
        row = elect(0, [(name, [0])], version).replica_election_results[0].partition_result[0]
        assert row.error_code == 84
    assert elect(1, [(name, [9])]).replica_election_results[0].partition_result[0].error_code == 3
    assert elect(0, [("absent", [0])]).replica_election_results[0].partition_result[0].error_code == 3
    assert elect(2, [(name, [0])]).error_code == 42
    assert elect(0, None).error_code == 0

    def reassign(replicas, partition=0, topic=name, version=0):
        rows = [{"name": topic, "partitions": [{"partition_index": partition, "replicas": replicas}]}]
        answer = call(bootstrap, "AlterPartitionReassignments", version, timeout_ms=20000, topics=rows)
        return answer.responses[0].partitions[0].error_code

    assert [reassign([node], version=v) for v in (0, 1)] == [0, 0]
    assert [reassign(r) for r in ([node + 7], [], [node, node])] == [39, 39, 39]
    assert [reassign(None), reassign([node], 9), reassign([node], 0, "absent")] == [85, 3, 3]
    listed = call(bootstrap, "ListPartitionReassignments", 0, timeout_ms=20000, topics=None)
    assert (listed.error_code, listed.topics) == (0, [])


@pytest.mark.parametrize("version", range(3))
def test_describe_quorum(bootstrap, node, version):
    def ask(topic, *partitions):
        rows = [{"topic_name": topic, "partitions": [{"partition_index": p} for p in partitions]}]
        return call(bootstrap, "DescribeQuorum", version, topics=rows)

    row = ask("__cluster_metadata", 0).topics[0].partitions[0]
    assert (row.error_code, row.leader_id) == (0, node) and row.high_watermark > 0
    assert [v.replica_id for v in row.current_voters] == [node]
    assert ask("other", 0).topics[0].partitions[0].error_code == 3
    assert ask("__cluster_metadata", 1).topics[0].partitions[0].error_code == 3


def test_features_and_the_cluster(bootstrap, node):
    answer = call(bootstrap, "ApiVersions", 4, client_software_name="raw", client_software_version="1")
    level = {f.name: f.max_version_level for f in answer.finalized_features}["metadata.version"]

    def update(name, wanted, kind=1, version=1):
        row = {"feature": name, "max_version_level": wanted}
        row |= {"upgrade_type": kind} if version else {"allow_downgrade": kind != 1}
        fields = {"validate_only": True} if version else {}
        return call(bootstrap, "UpdateFeatures", version, timeout_ms=20000, feature_updates=[row], **fields).error_code

    for version in (1, 2):
        assert update("metadata.version", level, version=version) == 0
        assert update("metadata.version", level - 1, version=version) == 95
        assert update("metadata.version", 99, version=version) == 95
        assert update("metadata.version", level, 9, version=version) == 95
        assert update("nonsense", 1, version=version) == 95
    for version in range(3):
        answer = call(bootstrap, "DescribeCluster", version, include_cluster_authorized_operations=True)
        assert (answer.error_code, answer.controller_id) == (0, node)
        assert [b.broker_id for b in answer.brokers] == [node]
    for version in (1, 2):
        assert call(bootstrap, "DescribeCluster", version, endpoint_type=2).error_code == 114
        assert call(bootstrap, "DescribeCluster", version, endpoint_type=9).error_code == 115


def test_unregister_broker_of_a_stranger(bootstrap):
    with Raw(bootstrap) as raw:
        body = struct.pack(">hhih", 64, 0, 5, 1) + b"x\0" + struct.pack(">i", 77) + b"\0"
        raw.socket.sendall(struct.pack(">i", len(body)) + body)
        answer = raw.frame()
    assert struct.unpack(">i", answer[:4]) == (5,)
    assert struct.unpack(">h", answer[9:11]) == (102,)


def test_describe_topic_partitions_in_pages(bootstrap, place):
    name = place[0]

    def ask(names, limit=2000, cursor=None):
        at = None if cursor is None else {"topic_name": cursor[0], "partition_index": cursor[1]}
        rows = [{"name": n} for n in names]
        return call(
            bootstrap, "DescribeTopicPartitions", 0, topics=rows, response_partition_limit=limit, cursor=at
        )

    def rows(answer):
        return [(t.error_code, t.name, [p.partition_index for p in t.partitions]) for t in answer.topics]

    assert rows(ask([name])) == [(0, name, [0, 1])]
    first = ask([name], 1)
    assert rows(first) == [(0, name, [0])]
    assert (first.next_cursor.topic_name, first.next_cursor.partition_index) == (name, 1)
    rest = ask([name], 1, (name, 1))
    assert rows(rest) == [(0, name, [1])] and rest.next_cursor is None
    assert rows(ask([name, name], 0)) == [(0, name, [0])]
    assert rows(ask(["zzz-absent", name])) == [(0, name, [0, 1]), (3, "zzz-absent", [])]
    assert rows(ask([name], 5, (name, 9))) == [(0, name, [])]
    assert ask([name], 5, (name, -1)).topics[0].error_code == 42
    assert ask(["a b"]).topics[0].error_code == 17
