"""Fetch, request by request: ranges, limits, epochs and sessions (G9, G15 to G17, G22 to G27, G30)."""

import time
import uuid

import pytest
from raw import Raw, batch, call, create_topic

EVERY = range(4, 19)
WITH_SESSIONS = (7, 11, 12, 13, 18)


@pytest.fixture(scope="module")
def place(brokers):
    """Two partitions: offsets 0 to 5 in batches of two, 0 to 2 in batches of one."""
    import secrets

    name = "fetch-" + secrets.token_hex(6)
    topic_id = create_topic(brokers["external"], name, 2)
    for _ in range(3):
        rows = [{"index": 0, "records": batch(2)}, {"index": 1, "records": batch(1)}]
        data = [{"name": name, "partition_data": rows}]
        call(brokers["external"], "Produce", 9, transactional_id=None, acks=-1, timeout_ms=9000, topic_data=data)
    return name, topic_id


def part(partition=0, offset=0, epoch=-1, last_epoch=-1, max_bytes=1 << 20):
    return {
        "partition": partition,
        "fetch_offset": offset,
        "current_leader_epoch": epoch,
        "last_fetched_epoch": last_epoch,
        "log_start_offset": -1,
        "partition_max_bytes": max_bytes,
    }


def fields(version, place, parts, forgotten=(), **given):
    key = {"topic_id": place[1]} if version >= 13 else {"topic": place[0]}
    f = {
        "max_wait_ms": 50,
        "min_bytes": 1,
        "max_bytes": 1 << 24,
        "isolation_level": 0,
        "session_id": 0,
        "session_epoch": -1,
        "topics": [key | {"partitions": parts}] if parts else [],
        "forgotten_topics_data": [key | {"partitions": list(forgotten)}] if forgotten else [],
        "rack_id": "",
    }
    replica = given.pop("replica", -1)
    if version < 15:
        f["replica_id"] = replica
    elif replica >= 0:
        f["replica_state"] = {"replica_id": replica, "replica_epoch": -1}
    return f | given


def offsets(row):
    """Base offset and record count of each whole batch."""
    out, at, data = [], 0, bytes(row.records or b"")
    while len(data) - at >= 61:
        length = 12 + int.from_bytes(data[at + 8 : at + 12], "big")
        if at + length > len(data):
            break  # Kafka cuts where the limit is
        base, count = (int.from_bytes(data[at + a : at + b], "big") for a, b in ((0, 8), (57, 61)))
        out.append((base, count))
        at += length
    return out


@pytest.fixture
def fetch(bootstrap, place):
    def ask(parts, version=12, topic=None, topic_id=None, **given):
        where = (topic or place[0], topic_id or place[1])
        parts = [parts] if isinstance(parts, dict) else parts
        answer = call(bootstrap, "Fetch", version, **fields(version, where, parts, **given))
        return answer.responses[0].partitions if len(parts) > 1 else answer.responses[0].partitions[0]

    return ask


@pytest.mark.parametrize("version", EVERY)
def test_fetch_in_every_version_G24(fetch, version):
    row = fetch(part(offset=3), version)
    assert (row.error_code, row.high_watermark, row.last_stable_offset) == (0, 6, 6)
    assert offsets(row) == [(2, 2), (4, 2)]  # from the batch that contains the offset, from its base
    assert row.aborted_transactions is None
    if version >= 5:
        assert row.log_start_offset == 0
    if version >= 11:
        assert row.preferred_read_replica == -1


def test_the_range_G25(fetch):
    assert (fetch(part(offset=6)).error_code, offsets(fetch(part(offset=6)))) == (0, [])
    for offset in (7, -1, -5):
        row = fetch(part(offset=offset))
        assert row.error_code == 1
        assert (row.high_watermark, row.last_stable_offset, row.log_start_offset) == (-1, -1, -1)


def test_unknown_places_G17(fetch):
    for version in (12, 13):
        row = fetch(part(9), version)
        assert (row.error_code, row.aborted_transactions) == (3, [])
        assert fetch(part(-1), version).error_code == 3
    assert fetch(part(), topic="nope").error_code == fetch(part(), topic="a b").error_code == 3
    assert fetch(part(), 13, topic_id=uuid.UUID(int=3)).error_code == 100


def test_leader_epochs_G16(fetch):
    assert fetch(part(epoch=0)).error_code == fetch(part(epoch=-2)).error_code == 0
    for version in (9, 12, 16):
        row = fetch(part(epoch=3), version)
        assert (row.error_code, row.high_watermark) == (75, -1)


def test_a_diverging_epoch_is_told_G31(fetch):
    assert fetch(part(offset=6, last_epoch=0)).diverging_epoch is None
    for version in (12, 18):
        row = fetch(part(offset=7, last_epoch=0), version)
        assert (row.error_code, row.diverging_epoch.epoch, row.diverging_epoch.end_offset) == (0, 0, 6)


def test_the_first_batch_comes_whatever_the_limits_G23(fetch):
    for limit in (0, 1):
        assert offsets(fetch(part(max_bytes=limit)))[0] == (0, 2)
        assert offsets(fetch(part(), max_bytes=limit))[0] == (0, 2)
        first, second = fetch([part(max_bytes=limit), part(1, max_bytes=limit)])
        assert (offsets(first)[0], offsets(second)) == ((0, 2), [])
    assert fetch(part(max_bytes=-1)).error_code == fetch(part(), max_bytes=-1).error_code == -1
    rows = fetch([part(9), part(), part(1)], max_bytes=-1)  # of the request, it is counted down to 0 from the first
    assert sorted(row.error_code for row in rows) == [-1, 0, 3]


def test_it_waits_for_min_bytes_or_the_time_G22(fetch, bootstrap, place):
    assert len(offsets(fetch(part(), min_bytes=100000, max_wait_ms=50))) == 3
    for min_bytes in (0, -1):  # these would wait for a minute
        assert fetch(part(offset=6), min_bytes=min_bytes, max_wait_ms=60000).error_code == 0
    assert fetch(part(offset=6), max_wait_ms=-1).error_code == 0
    assert fetch(part(offset=99), max_wait_ms=60000).error_code == 1
    assert fetch(part(9), max_wait_ms=60000).error_code == 3  # nothing to wait for
    assert call(bootstrap, "Fetch", 12, **fields(12, place, [], max_wait_ms=60000)).responses == []
    some = fetch([part(offset=6), part(1)], min_bytes=1, max_wait_ms=60000)  # one has enough for both
    assert sorted(bool(offsets(row)) for row in some) == [False, True]


def test_time_that_ends_is_no_error_G26(fetch, bootstrap, place):
    """Clients take a few codes only from a Fetch, and a timeout is none of them."""
    for version in (4, 12, 18):
        answer = call(bootstrap, "Fetch", version, **fields(version, place, [part(offset=6)], min_bytes=1 << 20))
        assert version < 7 or answer.error_code == 0
        assert [(p.error_code, p.high_watermark) for p in answer.responses[0].partitions] == [(0, 6)]


def test_answers_come_in_the_order_of_requests_G9(bootstrap, place):
    with Raw(bootstrap) as raw:
        waits = fields(12, place, [part(offset=6)], max_wait_ms=300)
        first = raw.send("Fetch", 12, **waits)  # is parked, and those behind it are ready long before
        rest = [raw.send("Metadata", 1, topics=[]) for _ in range(3)] + [raw.send("Fetch", 12, **waits)]
        got = [int.from_bytes(raw.frame()[:4], "big") for _ in range(5)]
    assert got == [first, *rest]


def test_an_unknown_partition_does_not_hurry_the_others_G22(bootstrap, place):
    begun = time.monotonic()
    call(bootstrap, "Fetch", 12, **fields(12, place, [part(offset=6), part(9)], max_wait_ms=400))
    assert time.monotonic() - begun > 0.39  # a bound from below: no client may spin


def test_isolation_levels_G27(fetch):
    for version in (4, 12):
        row = fetch(part(), version, isolation_level=1)
        assert (row.error_code, row.aborted_transactions, len(offsets(row))) == (0, [], 3)
        assert fetch(part(), version, isolation_level=0).aborted_transactions is None
    assert fetch(part(offset=9), isolation_level=1).aborted_transactions is None
    for level in (2, -1):
        assert fetch(part(), isolation_level=level).error_code == -1


def test_the_last_entry_for_a_partition_counts(fetch, bootstrap, place):
    answer = call(bootstrap, "Fetch", 12, **fields(12, place, [part(), part(1), part(offset=4)]))
    rows = answer.responses[0].partitions
    assert [(r.partition_index, offsets(r)[0]) for r in rows] == [(0, (4, 2)), (1, (0, 1))]


def test_what_was_read_comes_before_what_could_not_be(bootstrap, place):
    answer = call(bootstrap, "Fetch", 12, **fields(12, place, [part(9), part(0)]))
    assert [p.partition_index for t in answer.responses for p in t.partitions] == [0, 9]


def test_a_strange_isolation_level_spoils_all_that_is_named_G27(bootstrap, place):
    asked = fields(11, place, [part(0), part(1)], isolation_level=7)
    asked["topics"].append({"topic": "none", "partitions": []})
    answer = call(bootstrap, "Fetch", 11, **asked)
    assert answer.error_code == -1
    rows = [(t.topic, [(p.partition_index, p.error_code) for p in t.partitions]) for t in answer.responses]
    assert rows == [(place[0], [(0, -1), (1, -1)]), ("none", [])]


def test_copies_are_not_for_others(fetch):
    for replica in (0, 5):
        assert fetch(part(), replica=replica).error_code == fetch(part(), 15, replica=replica).error_code == 6


def test_a_topic_without_partitions_is_left_out(bootstrap, place):
    f = fields(12, place, [part()])
    f["topics"][0]["partitions"] = []
    assert call(bootstrap, "Fetch", 12, **f).responses == []


# ---- sessions (G30)


class Session:
    def __init__(self, bootstrap, place, version):
        self.raw, self.place, self.version, self.id, self.epoch = Raw(bootstrap), place, version, 0, 0

    def step(self, parts=(), forgotten=(), epoch=None, session_id=None, **given):
        """Partitions told: {index: (error, high watermark, batches)}, and the whole answer."""
        f = fields(
            self.version,
            self.place,
            list(parts),
            forgotten,
            session_id=self.id if session_id is None else session_id,
            session_epoch=self.epoch if epoch is None else epoch,
            **given,
        )
        answer = self.raw.call("Fetch", self.version, **f)
        if answer.error_code == 0 and epoch is None:
            self.id, self.epoch = answer.session_id, self.epoch + 1
        told = {
            p.partition_index: (p.error_code, p.high_watermark, offsets(p))
            for t in answer.responses
            for p in t.partitions
        }
        return told, answer


@pytest.fixture(params=WITH_SESSIONS)
def session(request, bootstrap, place):
    session = Session(bootstrap, place, request.param)
    yield session
    session.raw.socket.close()


A, B = [(0, 2), (2, 2), (4, 2)], [(0, 1), (1, 1), (2, 1)]


def test_a_session_names_changes_only_G30(session):
    told, answer = session.step([part(), part(1)])
    assert told == {0: (0, 6, A), 1: (0, 3, B)} and answer.session_id > 0
    told, again = session.step()
    assert told == {0: (0, 6, A), 1: (0, 3, B)} and again.session_id == answer.session_id
    assert session.step([part(offset=6), part(1, offset=3)])[0] == {}  # nothing new
    assert session.step([part(offset=2)])[0] == {0: (0, 6, A[1:])}
    assert session.step(forgotten=[0])[0] == {}
    assert session.step([part(1)])[0] == {1: (0, 3, B)}


def test_errors_are_told_each_time_G30(session):
    session.step([part(offset=6), part(1, offset=99)])
    assert session.step()[0] == session.step()[0] == {1: (1, -1, [])}
    assert session.step([part(1, offset=3)])[0] == {1: (0, 3, [])}  # it knows the high watermark again
    assert session.step()[0] == {}
    session.step([part(7)])
    assert session.step()[0] == {7: (3, -1, [])}
    if session.version >= 9:
        session.step([part(1, offset=3, epoch=5)])
        assert session.step()[0] == {1: (75, -1, []), 7: (3, -1, [])}  # the epoch is remembered, too


def test_wrong_epochs_and_ids_G30(session):
    session.step([part(offset=6)])
    assert session.step(epoch=5)[1].error_code == 71
    assert session.step()[1].error_code == 0  # and the session is as it was
    assert session.step(epoch=1)[1].error_code == 71
    _, answer = session.step(epoch=1, session_id=session.id % 2**31 - 1)
    assert (answer.error_code, answer.session_id) == (70, 0)
    assert session.step(epoch=-2, session_id=0)[1].error_code == 70
    assert session.step(epoch=3, session_id=0)[1].error_code == 70


def test_a_session_is_closed_and_made_anew_G30(session):
    first = session.step([part(offset=6)])[1].session_id
    told, answer = session.step([part()], epoch=-1)
    assert (told, answer.session_id) == ({0: (0, 6, A)}, 0)
    assert session.step(epoch=1)[1].error_code == 70
    told, answer = session.step([part()], epoch=0)
    assert told == {0: (0, 6, A)} and answer.session_id not in (0, first)
    assert session.step(epoch=1, session_id=answer.session_id)[0] == {0: (0, 6, A)}


def test_a_session_without_partitions_ends_G30(session):
    assert session.step([part(offset=6)])[1].session_id > 0
    last = session.id
    told, answer = session.step(forgotten=[0], max_wait_ms=60000)
    assert (told, answer.error_code, answer.session_id) == ({}, 0, 0)
    assert session.step(epoch=2, session_id=last)[1].error_code == 70


def test_each_partition_has_its_turn_at_the_bytes_G23(session):
    session.step([part(), part(1)], max_bytes=10)
    told = [list(session.step(max_bytes=10)[0]) for _ in range(4)]
    assert told == [[0], [1], [0], [1]]


def test_the_last_of_twins_is_remembered_G30(session):
    session.step([part(offset=0), part(offset=4)])
    assert session.step()[0] == {0: (0, 6, A[2:])}


def test_another_connection_goes_on_with_a_session_G30(bootstrap, session):
    session.step([part(offset=6)])
    session.raw.socket.close()
    session.raw = Raw(bootstrap)
    assert session.step([part(offset=4)])[0] == {0: (0, 6, A[2:])}


def test_names_and_ids_do_not_mix_G17(bootstrap, place):
    by_name = Session(bootstrap, place, 12)
    by_name.step([part(offset=6)])
    by_name.version = 13
    assert by_name.step(epoch=1)[1].error_code == 106
    by_name.version = 12
    assert by_name.step()[1].error_code == 0
    by_id = Session(bootstrap, place, 13)
    by_id.step([part(offset=6)])
    by_id.version = 12
    assert by_id.step(epoch=1)[1].error_code == 106


@pytest.mark.parametrize("version", [12, 13])
def test_a_session_outlives_its_topic_and_is_not_fooled_by_its_name_G17(bootstrap, topic, version):
    topic_id = create_topic(bootstrap, topic, 1)
    session = Session(bootstrap, (topic, topic_id), version)
    data = [{"name": topic, "partition_data": [{"index": 0, "records": batch(2)}]}]
    call(bootstrap, "Produce", 9, transactional_id=None, acks=-1, timeout_ms=9000, topic_data=data)
    session.step([part(offset=2)])
    with Raw(bootstrap) as raw:
        raw.call("DeleteTopics", 4, topic_names=[topic], timeout_ms=10000)
    end = time.monotonic() + 20
    while session.step()[0] != {0: (3, -1, [])}:
        assert time.monotonic() < end
    assert create_topic(bootstrap, topic, 1) != topic_id
    expected = 1 if version == 12 else 103
    while session.step()[0] != {0: (expected, -1, [])}:
        assert time.monotonic() < end
