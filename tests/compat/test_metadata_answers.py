"""Metadata, ListOffsets, epochs, coordinators, producer ids, request by request (G1-G5, G13-G17, G28, G31-G33, G64)."""

import struct
import uuid

import pytest
from raw import NO_ID, Raw, batch, call, create_topic
from support import kafka_wire


@pytest.fixture(scope="module")
def place(brokers):
    """A topic with two partitions; the first has timestamps 1000, 3000, 2000, two records each."""
    import secrets

    name = "answers-" + secrets.token_hex(6)
    topic_id = create_topic(brokers["external"], name, 2)
    for timestamp in (1000, 3000, 2000):
        rows = [{"name": name, "partition_data": [{"index": 0, "records": batch(2, timestamp=timestamp)}]}]
        call(brokers["external"], "Produce", 9, transactional_id=None, acks=-1, timeout_ms=9000, topic_data=rows)
    return name, topic_id


# ---- Metadata


@pytest.fixture
def metadata(bootstrap):
    def ask(version, topics, **fields):
        rows = [{"name": name, "topic_id": topic_id} for name, topic_id in topics]
        return call(bootstrap, "Metadata", version, topics=rows, **fields)

    return ask


@pytest.mark.parametrize("version", range(14))
def test_metadata_of_a_topic_G15(metadata, place, version):
    answer = metadata(version, [(place[0], NO_ID)], allow_auto_topic_creation=False)
    topic = answer.topics[0]
    assert (len(answer.brokers), topic.error_code, topic.name, len(topic.partitions)) == (1, 0, place[0], 2)
    leader = answer.brokers[0].node_id
    for partition in topic.partitions:
        assert (partition.error_code, partition.leader_id) == (0, leader)
        assert partition.replica_nodes == partition.isr_nodes == [leader]
        if version >= 7:
            assert partition.leader_epoch == 0
    if version >= 10:
        assert topic.topic_id == place[1]
    if version >= 1:
        assert answer.controller_id == leader


def test_an_empty_list_is_all_in_version_0_and_none_later_G14(metadata, place):
    assert place[0] in [t.name for t in metadata(0, []).topics]
    assert metadata(1, []).topics == []
    assert metadata(9, [], allow_auto_topic_creation=False).topics == []


def test_names_that_cannot_be_G13(metadata):
    for name in ("a b", "", ".", "x" * 250):
        for create in (True, False):
            answer = metadata(9, [(name, NO_ID)], allow_auto_topic_creation=create)
            assert answer.topics[0].error_code == 17, name


@pytest.mark.parametrize("version", [4, 9, 12])
def test_nothing_is_created_without_the_flag_G13(metadata, topic, version):
    for _ in range(2):
        assert metadata(version, [(topic, NO_ID)], allow_auto_topic_creation=False).topics[0].error_code == 3


def test_topics_by_id_G17(metadata, place):
    unknown = uuid.UUID(int=77)
    answer = metadata(12, [(None, place[1]), (None, unknown)], allow_auto_topic_creation=True)
    by_id = {t.topic_id: t for t in answer.topics}
    assert by_id[place[1]].name == place[0]
    assert (by_id[unknown].error_code, by_id[unknown].name) == (100, None)
    for version in (10, 11):
        answer = metadata(version, [("x", place[1])], allow_auto_topic_creation=True)
        assert (answer.topics[0].error_code, answer.brokers) == (42, [])
    assert metadata(12, [(None, NO_ID)], allow_auto_topic_creation=True).topics[0].error_code == -1


def test_a_topic_named_twice_is_told_once(metadata, place):
    assert len(metadata(9, [(place[0], NO_ID)] * 2, allow_auto_topic_creation=False).topics) == 1
    assert len(metadata(9, [("nope", NO_ID)] * 2, allow_auto_topic_creation=False).topics) == 1
    assert len(metadata(12, [(None, place[1]), (place[0], NO_ID)], allow_auto_topic_creation=False).topics) == 1


def test_authorized_operations(metadata, place):
    wanted = {"include_topic_authorized_operations": True, "allow_auto_topic_creation": False}
    all_of_a_topic = [3, 4, 5, 6, 7, 8, 10, 11]
    for version in (8, 9, 10):
        answer = metadata(version, [(place[0], NO_ID)], include_cluster_authorized_operations=True, **wanted)
        assert sorted(answer.topics[0].authorized_operations) == all_of_a_topic
        assert sorted(answer.authorized_operations) == [5, 7, 8, 9, 10, 11, 12]
    assert sorted(metadata(11, [("nope", NO_ID)], **wanted).topics[0].authorized_operations) == all_of_a_topic


# ---- ListOffsets


@pytest.fixture
def offset(bootstrap, place):
    def ask(timestamp, version=11, partition=0, epoch=-1, isolation=0, topic=None, twice=False):
        entry = {"partition_index": partition, "current_leader_epoch": epoch, "timestamp": timestamp}
        rows = [{"name": place[0] if topic is None else topic, "partitions": [entry] * (2 if twice else 1)}]
        answer = call(
            bootstrap,
            "ListOffsets",
            version,
            replica_id=-1,
            isolation_level=isolation,
            topics=rows,
            timeout_ms=10000,
        )
        assert len(answer.topics[0].partitions) == 1
        row = answer.topics[0].partitions[0]
        return row.error_code, row.offset, row.timestamp

    return ask


@pytest.mark.parametrize("version", range(1, 12))
def test_special_timestamps_by_version_G32(offset, version):
    known = {-1: (1, 6, -1), -2: (1, 0, -1), -3: (7, 2, 3000), -4: (8, 0, -1), -5: (9, -1, -1), -6: (11, -1, -1)}
    for timestamp, (first, at, told) in known.items():
        assert offset(timestamp, version) == ((0, at, told) if version >= first else (35, -1, -1)), timestamp
    assert offset(-7, version) == (35, -1, -1)


def test_by_time_it_is_the_first_record_not_before_G32_G33(offset):
    assert offset(0) == (0, 0, 1000)
    assert offset(1000) == (0, 0, 1000)
    assert offset(1001) == (0, 2, 3000)
    assert offset(2000) == (0, 2, 3000)  # 2000 itself stands behind it
    assert offset(3001) == (0, -1, -1)


def test_an_empty_partition_has_no_times_G32(offset):
    assert offset(-1, partition=1) == offset(-2, partition=1) == offset(-4, partition=1) == (0, 0, -1)
    assert offset(-3, partition=1) == offset(5, partition=1) == (0, -1, -1)


def test_leader_epochs_are_checked_G16(offset):
    assert offset(-1, epoch=0)[0] == 0
    assert offset(-1, epoch=5)[0] == 75
    assert offset(5, epoch=5)[0] == 75
    assert offset(-1, epoch=-2)[0] == 74


def test_list_offsets_of_wrong_places(offset):
    assert offset(-1, partition=9)[0] == 3
    assert offset(-1, topic="nope")[0] == offset(-1, topic="a b")[0] == offset(-1, topic="")[0] == 3
    assert offset(-7, partition=9)[0] == 35
    assert offset(-1, twice=True)[0] == 42


def test_isolation_levels_G28(offset):
    assert offset(-1, isolation=1) == (0, 6, -1)
    assert offset(0, isolation=1) == (0, 0, 1000)
    assert offset(-1, isolation=2)[0] == -1


# ---- OffsetForLeaderEpoch


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_end_of_an_epoch_G31(bootstrap, place, version):
    def ask(epoch, current=-1, topic=None, partition=0):
        entry = {"partition": partition, "current_leader_epoch": current, "leader_epoch": epoch}
        rows = [{"topic": topic or place[0], "partitions": [entry]}]
        row = call(bootstrap, "OffsetForLeaderEpoch", version, replica_id=-1, topics=rows).topics[0].partitions[0]
        return row.error_code, row.leader_epoch, row.end_offset

    assert ask(0) == ask(0, current=0) == (0, 0, 6)
    assert ask(1) == ask(100) == ask(-1) == (0, -1, -1)
    assert ask(-2) == (0, -2, 0)
    assert ask(0, current=3)[0] == 75
    assert ask(0, current=-2)[0] == 74
    assert ask(0, topic="nope")[0] == ask(0, partition=9)[0] == 3


# ---- FindCoordinator, InitProducerId


def coordinator(bootstrap, version, **fields):
    """A Kafka whose internal topics are being made says 15 for a moment."""
    import time

    for _ in range(100):
        answer = call(bootstrap, "FindCoordinator", version, **fields)
        if 15 not in [c.error_code for c in answer.coordinators or [answer]]:
            break
        time.sleep(0.1)
    return answer


@pytest.mark.parametrize("version", range(7))
def test_the_coordinator_of_one_group_and_of_several(bootstrap, version):
    if version < 4:
        answer = coordinator(bootstrap, version, key="g", key_type=0)
        assert (answer.error_code, answer.port) == (0, int(bootstrap.rsplit(":", 1)[1]))
        if version >= 1:
            assert answer.error_message == "NONE"
    else:
        answer = coordinator(bootstrap, version, coordinator_keys=["g", "h", "g"], key_type=0)
        assert [c.key for c in answer.coordinators] == ["g", "h", "g"]
        assert {(c.error_code, c.error_message) for c in answer.coordinators} == {(0, "")}
        assert call(bootstrap, "FindCoordinator", version, coordinator_keys=[], key_type=0).coordinators == []
        assert coordinator(bootstrap, version, coordinator_keys=["g"], key_type=3).coordinators[0].error_code == 42


def producer_id(bootstrap, version, **fields):
    """A Kafka that has just been started has no ids for a moment (14)."""
    import time

    given = {"transactional_id": None, "transaction_timeout_ms": 60000} | fields
    for _ in range(100):
        answer = call(bootstrap, "InitProducerId", version, **given)
        if answer.error_code != 14:
            break
        time.sleep(0.1)
    return answer


@pytest.mark.parametrize("version", range(6))
def test_producer_ids_are_new_each_time(bootstrap, version):
    a, b = producer_id(bootstrap, version), producer_id(bootstrap, version)
    assert (a.error_code, a.producer_epoch, b.error_code) == (0, 0, 0)
    assert a.producer_id != b.producer_id
    assert producer_id(bootstrap, version, transaction_timeout_ms=-1).error_code == 0
    assert producer_id(bootstrap, version, transactional_id="").error_code == 42
    if version >= 3:
        assert producer_id(bootstrap, version, producer_id=5, producer_epoch=3).error_code == 0
        assert producer_id(bootstrap, version, producer_id=5).error_code == 42
        assert producer_id(bootstrap, version, producer_epoch=3).error_code == 42


@pytest.mark.parametrize("version", [3, 4, 5])
def test_an_id_of_zero_is_one_like_any_other_G64(bootstrap, version):
    """A client of JavaScript sends id and epoch 0 where -1 means that it has none."""
    answer = producer_id(bootstrap, version, producer_id=0, producer_epoch=0)
    assert answer.error_code == 0 and answer.producer_id >= 0 and answer.producer_epoch >= 0


# ---- ApiVersions


def test_api_versions_has_a_header_without_tags_G1(bootstrap):
    with Raw(bootstrap) as raw:
        raw.send("ApiVersions", 3, client_software_name="test", client_software_version="1.0")
        bytes_ = raw.frame()
        assert struct.unpack(">ih", bytes_[:6]) == (raw.correlation_id, 0)  # the error code follows at once


def test_an_unknown_version_of_api_versions_is_answered_in_version_0_G2(bootstrap):
    with Raw(bootstrap) as raw:
        raw.socket.sendall(struct.pack(">ihhihb", 11, 18, 99, 7, -1, 0))
        correlation_id, error, count = struct.unpack(">ihi", (answer := raw.frame())[:10])
        assert (correlation_id, error) == (7, 35) and count >= 1
        rows = [struct.unpack(">hhh", answer[10 + 6 * i : 16 + 6 * i]) for i in range(count)]
        assert 18 in [key for key, _, _ in rows]
        assert raw.call("ApiVersions", 0).error_code == 0  # and the connection goes on


def test_the_first_produce_version_told_is_0_G3(bootstrap):
    rows = {r.api_key: (r.min_version, r.max_version) for r in call(bootstrap, "ApiVersions", 0).api_keys}
    assert rows[0] == (0, 13)
    assert rows[1] == (4, 18) and rows[3] == (0, 13)  # what kafka-python 2 tells a broker's age by


def test_software_names_are_checked_G5(bootstrap):
    for name in ("", "-x", "a b", "x."):
        with Raw(bootstrap) as raw:
            raw.send("ApiVersions", 3, client_software_name=name, client_software_version="1")
            assert struct.unpack(">h", raw.frame()[4:6]) == (42,), name
    assert call(bootstrap, "ApiVersions", 4, client_software_name="a.b-c", client_software_version="1").error_code == 0


# Requests are sent with every field at its default, but for these.
NEEDS = {
    "Produce": {"Acks": 1, "TimeoutMs": 1000},
    "Fetch": {"MaxWaitMs": 0, "MaxBytes": 1 << 20},
    "ApiVersions": {"ClientSoftwareName": "test", "ClientSoftwareVersion": "1"},
    "CreateTopics": {"TimeoutMs": 20000},
    "DeleteTopics": {"TimeoutMs": 20000},
    "AddPartitionsToTxn": {"Transactions": [{"TransactionalId": "t", "ProducerId": 1}]},  # Kafka: silence without any
    "DescribeAcls": {"ResourceTypeFilter": 1, "PatternTypeFilter": 1, "Operation": 1, "PermissionType": 1},
}


def served(bootstrap):
    """(name of the API, first, last version) of what the broker lists and the schemas know."""
    names = {}
    for path in kafka_wire.SCHEMAS.glob("*Request.json"):
        name = path.name.removesuffix("Request.json")
        names[kafka_wire.schema(name + "Request")["apiKey"]] = name
    rows = call(bootstrap, "ApiVersions", 0).api_keys
    return [(names[r.api_key], r.min_version, r.max_version) for r in rows if r.api_key in names]


def test_every_version_that_is_told_is_answered_G4(bootstrap):
    for name, first, last in served(bootstrap):
        if name == "Produce":
            first = 3  # 0 to 2 stand there for librdkafka alone (G3)
        for version in range(first, last + 1):
            with kafka_wire.Peer(bootstrap) as peer:
                answer = peer.ask(name, version, **NEEDS.get(name, {}))
            assert answer.get("ErrorCode") != 35, (name, version)
