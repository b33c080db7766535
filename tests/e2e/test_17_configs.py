"""Configs of topics are changed while it runs, and act; configs of the broker, groups and telemetry outlive a kill.

What acts on a single Produce is in tests/compat/test_topic_configs.py, what compaction keeps in test_15_compaction.py,
and what flush.ms loses in a power cut in tests/unit/broker/log/test_log_flush_ms.c, where one can be had.
"""

import pathlib
import re
import time

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.kafka_wire import Peer
from support.server import wait_for

TOPIC = "tuned"
HOUR_MS = 3_600_000
NODE = "0"
RESOURCE_TOPIC, RESOURCE_BROKER, RESOURCE_METRICS, RESOURCE_GROUP = 2, 4, 16, 32


@pytest.fixture
def server(make_eventbox):
    quick = ["--broker.retention_check=50ms", "--broker.cleaner_interval=50ms"]
    return make_eventbox(modules="broker", args=quick).start()


def create(server, topic=TOPIC, **configs):
    rows = {key.replace("_", "."): value for key, value in configs.items()}
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(topic, 1, 1, config=rows)])[topic].result(20)


def alter(server, kind, name, **configs):
    """None takes a value back."""
    rows = [
        {"Name": key.replace("_", "."), "ConfigOperation": 1 if value is None else 0, "Value": value}
        for key, value in configs.items()
    ]
    with Peer(server.bootstrap) as peer:
        resource = {"ResourceType": kind, "ResourceName": name, "Configs": rows}
        answer = peer.ask("IncrementalAlterConfigs", 1, Resources=[resource], ValidateOnly=False)
    assert answer["Responses"][0]["ErrorCode"] == 0, answer


def tune(server, topic=TOPIC, **configs):
    alter(server, RESOURCE_TOPIC, topic, **configs)


def described(server, kind, name, key):
    """(value, source)"""
    with Peer(server.bootstrap) as peer:
        resource = {"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": [key]}
        answer = peer.ask("DescribeConfigs", 4, Resources=[resource], IncludeSynonyms=False, IncludeDocumentation=False)
    config = answer["Results"][0]["Configs"][0]
    return config["Value"], config["ConfigSource"]


def produce(server, topic, records):
    """Each record (key, value, timestamp or None) is a batch of its own."""
    single = {"linger.ms": 0, "batch.num.messages": 1, "compression.type": "none"}
    producer = Producer({"bootstrap.servers": server.bootstrap, **single})
    for key, value, timestamp_ms in records:
        more = {} if timestamp_ms is None else {"timestamp": timestamp_ms}
        producer.produce(topic, key=key, value=value, partition=0, **more)
    assert producer.flush(60) == 0


def fill(server, topic=TOPIC, count=20, timestamp_ms=None):
    produce(server, topic, [(f"k{i % 5}", f"{i}-" + "x" * 500, timestamp_ms) for i in range(count)])


def low(server, topic=TOPIC):
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "marks"})
    marks = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)
    consumer.close()
    return marks[0]


def read(server, topic=TOPIC):
    """All records as (offset, key, value)."""
    settings = {"group.id": "reader", "enable.partition.eof": True, "enable.auto.commit": False}
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "auto.offset.reset": "earliest", **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = []
    while (message := consumer.poll(20)) is not None and not message.error():
        records.append((message.offset(), message.key().decode(), message.value()))
    assert message is not None, "nothing comes"
    consumer.close()
    return records


# ---- segments: retention takes whole ones that are closed, and so shows where they end


def test_segment_bytes__a_smaller_value_closes_segments_earlier(server):
    for topic in (TOPIC, "control"):
        create(server, topic, retention_bytes="1")
        produce(server, topic, [("k", "x" * 100_000, None)] * 15)
    tune(server, segment_bytes=str(1 << 20))
    for topic in (TOPIC, "control"):
        produce(server, topic, [("k", "x" * 100_000, None)] * 15)
    wait_for(lambda: low(server) > 15, what="closed segments to go")
    assert low(server, "control") == 0


def test_segment_ms__an_old_segment_is_closed(server):
    for topic in (TOPIC, "control"):
        create(server, topic, retention_bytes="1")
        fill(server, topic, count=3)
    tune(server, segment_ms="1")

    def rolled():
        fill(server, count=1)
        return low(server) > 4

    wait_for(rolled, what="segments to be closed and go")
    assert low(server, "control") == 0


# ---- retention


def test_retention_ms__a_shorter_time_lets_old_segments_go(server):
    create(server, internal_segment_bytes="2000")
    fill(server, timestamp_ms=int(time.time() * 1000) - HOUR_MS)
    fill(server, count=4)
    assert low(server) == 0
    tune(server, retention_ms=str(HOUR_MS // 2))
    wait_for(lambda: low(server) > 10, what="what is older than that to go")
    assert [value[:2] for _, _, value in read(server)][-4:] == [b"0-", b"1-", b"2-", b"3-"]


def test_retention_bytes__a_smaller_size_lets_the_oldest_segments_go(server):
    create(server, internal_segment_bytes="2000")
    fill(server)
    assert low(server) == 0
    tune(server, retention_bytes="5000")
    wait_for(lambda: low(server) > 0, what="the oldest to go")
    wait_for(lambda: len(read(server)) * 570 < 8000, what="as many as that to go")
    start = low(server)
    tune(server, retention_bytes=None)
    fill(server)
    assert low(server) == start and len(read(server)) == 40 - start


def test_cleanup_policy__retention_acts_on_delete_only(server):
    """None of it: what is old stays; another topic under the same check shows that one has passed."""
    old_ms = int(time.time() * 1000) - HOUR_MS
    configs = {"internal_segment_bytes": "2000", "retention_ms": "1000"}
    create(server, cleanup_policy="compact", min_compaction_lag_ms=str(24 * HOUR_MS), **configs)
    fill(server, timestamp_ms=old_ms)
    create(server, "control", **configs)
    fill(server, "control", timestamp_ms=old_ms)
    wait_for(lambda: low(server, "control") > 10, what="a check of retention")
    assert low(server) == 0
    tune(server, cleanup_policy="delete")
    wait_for(lambda: low(server) > 10, what="old segments to go")


# ---- compaction


def keys_twice(server, topic):
    keys = [key for _, key, _ in read(server, topic)]
    return len(keys) - len(set(keys))


def test_cleanup_policy__compact_instead_of_delete(server):
    create(server, internal_segment_bytes="2000", min_cleanable_dirty_ratio="0.01")
    fill(server, count=40)
    written = read(server)
    assert len(written) == 40
    tune(server, cleanup_policy="compact")
    wait_for(lambda: keys_twice(server, TOPIC) < 10, 90, "compaction")
    last = {key: (offset, value) for offset, key, value in written}
    assert {key: (offset, value) for offset, key, value in read(server)} == last
    fill(server, count=5)
    assert read(server)[-1][0] == 44


def test_min_compaction_lag_ms__young_records_stay_as_they_were_written(server):
    configs = {
        "internal_segment_bytes": "2000",
        "cleanup_policy": "compact",
        "min_cleanable_dirty_ratio": "0.01",
    }
    create(server, min_compaction_lag_ms=str(HOUR_MS), **configs)
    fill(server, count=40)
    create(server, "control", **configs)
    fill(server, "control", count=40)
    wait_for(lambda: keys_twice(server, "control") < 10, 90, "compaction of the other topic")
    assert len(read(server)) == 40
    tune(server, min_compaction_lag_ms="0")
    wait_for(lambda: keys_twice(server, TOPIC) < 10, 90, "compaction")


def test_min_cleanable_dirty_ratio__compaction_waits_for_its_share(server):
    """All of a new partition is dirty, which is not more than 1, nor than what is no number."""
    configs = {"internal_segment_bytes": "2000", "cleanup_policy": "compact"}
    for topic, ratio in ((TOPIC, "1"), ("odd", "NaN"), ("control", "0x1p-1")):
        create(server, topic, min_cleanable_dirty_ratio=ratio, **configs)
        fill(server, topic, count=40)
    wait_for(lambda: keys_twice(server, "control") < 10, 90, "compaction of the other topic")
    assert len(read(server)) == len(read(server, "odd")) == 40
    tune(server, min_cleanable_dirty_ratio="0.9")
    wait_for(lambda: keys_twice(server, TOPIC) < 10, 90, "compaction")


def test_delete_retention_ms__a_shorter_time_lets_tombstones_go_earlier(server):
    configs = {
        "internal_segment_bytes": "2000",
        "cleanup_policy": "compact",
        "min_cleanable_dirty_ratio": "0.01",
        "delete_retention_ms": str(HOUR_MS),
    }
    for topic in (TOPIC, "control"):
        create(server, topic, **configs)
    tune(server, delete_retention_ms="0")

    def tombstones(topic):
        return [key for _, key, value in read(server, topic) if value is None]

    for topic in (TOPIC, "control"):
        produce(server, topic, [("gone", "x" * 500, None), ("gone", None, None)])
        fill(server, topic, count=40)
    wait_for(lambda: tombstones(TOPIC) == [], 90, "the tombstone to go")
    wait_for(lambda: [key for _, key, _ in read(server, "control")].count("gone") == 1, 90, "the value to go")
    assert tombstones("control") == ["gone"]  # it has outlived what it removes
    tune(server, "control", delete_retention_ms="0")  # for those that come
    produce(server, "control", [("later", None, None)])
    fill(server, "control", count=40)
    wait_for(lambda: "later" not in tombstones("control"), 90, "the later tombstone to go")


# ---- the sync


def leader_epoch(server, topic):
    with Peer(server.bootstrap) as peer:
        return peer.ask("Metadata", 7, Topics=[{"Name": topic}])["Topics"][0]["Partitions"][0]["LeaderEpoch"]


def test_flush_ms__a_kill_raises_the_epoch_only_where_answers_leave_before_the_sync(server):
    """Who reads is told by the new epoch that acknowledged records may be gone."""
    for topic in (TOPIC, "control"):
        create(server, topic)
        fill(server, topic, count=3)

    def epochs_after_a_kill():
        server.kill()
        server.start()
        return leader_epoch(server, TOPIC), leader_epoch(server, "control")

    assert epochs_after_a_kill() == (0, 0)
    tune(server, flush_ms="1000")
    fill(server, count=3)
    assert epochs_after_a_kill() == (1, 0)
    fill(server, count=3)
    tune(server, flush_ms=None)
    fill(server, count=3)
    assert epochs_after_a_kill() == (1, 0)
    assert len(read(server, "control")) == 3


# ---- the table of the README

ACTING = {
    "cleanup.policy": "test_cleanup_policy__compact_instead_of_delete",
    "compression.type": "test_compression_type",
    "delete.retention.ms": "test_delete_retention_ms__a_shorter_time_lets_tombstones_go_earlier",
    "flush.ms": "test_flush_ms__a_kill_raises_the_epoch_only_where_answers_leave_before_the_sync",
    "internal.segment.bytes": "test_retention_bytes__a_smaller_size_lets_the_oldest_segments_go",
    "max.compaction.lag.ms": "test_log_compaction__max_compaction_lag_forces_it",
    "max.message.bytes": "test_max_message_bytes",
    "message.timestamp.after.max.ms": "test_message_timestamp_limits",
    "message.timestamp.before.max.ms": "test_message_timestamp_limits",
    "message.timestamp.type": "test_message_timestamp_type",
    "min.cleanable.dirty.ratio": "test_min_cleanable_dirty_ratio__compaction_waits_for_its_share",
    "min.compaction.lag.ms": "test_min_compaction_lag_ms__young_records_stay_as_they_were_written",
    "remote.storage.enable": "test_configs_of_the_table__act_as_it_says_or_tell_that_they_do_not",
    "retention.bytes": "test_retention_bytes__a_smaller_size_lets_the_oldest_segments_go",
    "retention.ms": "test_retention_ms__a_shorter_time_lets_old_segments_go",
    "segment.bytes": "test_segment_bytes__a_smaller_value_closes_segments_earlier",
    "segment.ms": "test_segment_ms__an_old_segment_is_closed",
}
OTHER_VALUES = {  # of those without effect
    "follower.replication.throttled.replicas": "0:0",
    "leader.replication.throttled.replicas": "*",
    "preallocate": "true",
    "remote.log.copy.disable": "true",
    "remote.log.delete.on.disable": "true",
    "unclean.leader.election.enable": "true",
}
REPOSITORY = pathlib.Path(__file__).parents[2]


def table():
    """What the README says that each config does."""
    text = (REPOSITORY / "README.md").read_text()
    rows = re.search(r"(?s)<!-- configs: [^\n]*\n(.*?)<!-- end of configs -->", text)[1]
    return {name: what for name, what in re.findall(r"\| `([^`]+)` \| [^|]* \| (.*) \|", rows)}


def test_configs_of_the_table__each_that_acts_has_a_test():
    acting = {name for name, what in table().items() if what != "without effect"}
    assert acting == set(ACTING)
    files = [*(REPOSITORY / "tests").rglob("test_*.py"), *(REPOSITORY / "tests").rglob("test_*.c")]
    tests = " ".join(path.read_text() for path in files)
    for test in ACTING.values():
        assert re.search(rf"(def|void) {test}\(", tests), test


def test_configs_of_the_table__act_as_it_says_or_tell_that_they_do_not(server):
    """Those without effect are taken, kept, shown, and their documentation says so."""
    create(server)
    for name, what in table().items():
        if what == "without effect":
            value = OTHER_VALUES.get(name, "7")
            tune(server, **{name: value})
            assert described(server, RESOURCE_TOPIC, TOPIC, name) == (value, 1)
        if name != "internal.segment.bytes":
            idle = "Without effect here." in documentation(server, name)
            assert idle == (what == "without effect"), name
    with pytest.raises(AssertionError, match="Tiered Storage functionality is disabled"):
        tune(server, remote_storage_enable="true")


def documentation(server, name):
    with Peer(server.bootstrap) as peer:
        resource = {"ResourceType": RESOURCE_TOPIC, "ResourceName": TOPIC, "ConfigurationKeys": [name]}
        answer = peer.ask("DescribeConfigs", 4, Resources=[resource], IncludeSynonyms=False, IncludeDocumentation=True)
    return answer["Results"][0]["Configs"][0]["Documentation"]


# ---- what belongs to no topic


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_configs_of_the_broker__outlive_a_restart_and_act_again(server, end):
    create(server, internal_segment_bytes="2000")
    alter(server, RESOURCE_BROKER, "", log_cleaner_io_buffer_size="600000")
    alter(server, RESOURCE_BROKER, NODE, log_retention_bytes="5000")
    alter(server, RESOURCE_BROKER, NODE, background_threads="9")
    alter(server, RESOURCE_BROKER, NODE, background_threads=None)
    getattr(server, end)()
    server.start()
    assert described(server, RESOURCE_BROKER, NODE, "log.cleaner.io.buffer.size") == ("600000", 3)
    assert described(server, RESOURCE_BROKER, NODE, "log.retention.bytes") == ("5000", 2)
    assert described(server, RESOURCE_BROKER, NODE, "background.threads") == ("10", 5)
    assert described(server, RESOURCE_TOPIC, TOPIC, "retention.bytes") == ("5000", 2)
    fill(server)
    wait_for(lambda: low(server) > 0, what="retention by the broker's default")


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_configs_of_groups_and_telemetry__outlive_a_restart(server, end):
    timeout = "consumer.session.timeout.ms"
    alter(server, RESOURCE_GROUP, "kept", consumer_session_timeout_ms="50000")
    alter(server, RESOURCE_GROUP, "changed", consumer_session_timeout_ms="50000")
    alter(server, RESOURCE_GROUP, "changed", consumer_session_timeout_ms="51000")
    alter(server, RESOURCE_GROUP, "taken back", consumer_session_timeout_ms="50000")
    alter(server, RESOURCE_GROUP, "taken back", consumer_session_timeout_ms=None)
    alter(server, RESOURCE_METRICS, "kept", interval_ms="12345")
    alter(server, RESOURCE_METRICS, "kept", match="client_id=a.*")
    for _ in range(2):  # what was read at a start is there at the next one as well
        getattr(server, end)()
        server.start()
        assert described(server, RESOURCE_GROUP, "kept", timeout) == ("50000", 8)
        assert described(server, RESOURCE_GROUP, "changed", timeout) == ("51000", 8)
        assert described(server, RESOURCE_GROUP, "taken back", timeout) == ("45000", 5)
        assert described(server, RESOURCE_METRICS, "kept", "interval.ms") == ("12345", 7)
        assert described(server, RESOURCE_METRICS, "kept", "match") == ("client_id=a.*", 7)
        with Peer(server.bootstrap) as peer:
            answer = peer.ask("ListConfigResources", 1, ResourceTypes=[RESOURCE_GROUP, RESOURCE_METRICS])
        assert sorted(row["ResourceName"] for row in answer["ConfigResources"]) == ["changed", "kept", "kept"]
