"""Compacted topics over a stock client: last values remain at their offsets, tombstones go, kills change nothing."""

import random
import subprocess

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from support.server import binary, clean_environment, file_size, wait_for

TOPIC = "prices"


@pytest.fixture
def server(make_eventbox):
    return make_eventbox(
        modules="broker", args=["--broker.cleaner_interval=100ms", "--broker.segment=1MiB"]
    ).start()


def log_command(data, *arguments):
    """The command's exit code, standard output and standard error."""
    done = subprocess.run(
        [binary(), "log", *arguments, "--data", str(data)],
        env=clean_environment(), capture_output=True, text=True, timeout=60,
    )
    return done.returncode, done.stdout, done.stderr


def create(server, topic, **configs):
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    done = admin.create_topics([NewTopic(topic, 1, 1, config=configs)])
    done[topic].result(20)


def produce(server, topic, records, **settings):
    """Offsets of the records, in order."""
    offsets = []

    def delivered(error, message):
        assert error is None, error
        offsets.append(message.offset())

    producer = Producer({"bootstrap.servers": server.bootstrap, "linger.ms": 0, "batch.num.messages": 5, **settings})
    for key, value in records:
        producer.produce(topic, key=key, value=value, partition=0, on_delivery=delivered)
        producer.poll(0)
    assert producer.flush(60) == 0
    return offsets


def read(server, topic):
    """All records of partition 0 as (offset, key, value)."""
    consumer = Consumer(
        {"bootstrap.servers": server.bootstrap, "group.id": "reader", "enable.partition.eof": True,
         "enable.auto.commit": False}
    )
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = []
    while True:
        message = consumer.poll(20)
        assert message is not None, "nothing comes"
        if message.error():
            break  # the end
        key, value = message.key().decode(), message.value()
        records.append((message.offset(), key, value.decode() if value is not None else None))
    consumer.close()
    return records


def last_values(records):
    return {key: (offset, value) for offset, key, value in records}


def write(server, codec):
    """Ten keys, thirty times; the last of them deleted; then so much that all of it lies in closed segments."""
    records = [(f"k{i % 10}", f"value-{i}") for i in range(300)] + [("k9", None)]
    records += [("end", f"filler-{i}-" + "x" * 50) for i in range(60)]
    offsets = produce(server, TOPIC, records, **{"compression.type": codec})
    assert offsets == list(range(len(records)))
    return [(offset, key, value) for offset, (key, value) in zip(offsets, records)]


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_compaction__last_values_remain_at_their_offsets_and_tombstones_go__G61(server, codec):
    create(
        server, TOPIC, **{"cleanup.policy": "compact", "internal.segment.bytes": "3000",
                          "min.cleanable.dirty.ratio": "0.01", "delete.retention.ms": "2000"}
    )
    written = write(server, codec)
    expected = last_values(written)

    def compacted():
        records = read(server, TOPIC)
        assert set(records) <= set(written) and records == sorted(records)
        found = last_values(records)
        for key in expected:
            if key != "k9":
                assert found[key] == expected[key]
        old = [key for _, key, _ in records if key != "end"]
        return len(old) == len(set(old)) and records

    records = wait_for(compacted, 90, "one record a key")
    assert len(records) < 60
    # The tombstone has done its work when delete.retention.ms has passed; nothing of its key is left.
    wait_for(lambda: "k9" not in last_values(read(server, TOPIC)), 90, "the tombstone to go")
    assert produce(server, TOPIC, [("k0", "new")]) == [len(written)]
    assert server.stop() == 0


def test_compaction__kill_in_between_loses_no_last_value(server):
    create(
        server, TOPIC, **{"cleanup.policy": "compact", "internal.segment.bytes": "3000",
                          "min.cleanable.dirty.ratio": "0.01"}
    )
    written = write(server, "none")
    dice = random.Random(5)
    for turn in range(5):
        done = wait_for(lambda: server.process.poll() is None and len(read(server, TOPIC)), 20, "a read")
        records = [(f"k{i % 10}", f"turn-{turn}-{i}") for i in range(100)]
        offsets = produce(server, TOPIC, records)
        written += [(offset, key, value) for offset, (key, value) in zip(offsets, records)]
        # Sometimes at once, sometimes when a compaction has been seen to have an effect.
        if dice.random() < 0.5:
            wait_for(lambda: len(read(server, TOPIC)) < done + 50, 90, "a compaction")
        server.kill()
        server.start()
        found = read(server, TOPIC)
        assert set(found) <= set(written) and found == sorted(found)
        assert last_values(found) == last_values(written)
    assert server.stop() == 0
    assert "damaged" not in server.log()


def test_compaction__committed_offsets_are_compacted_and_load_again(server):
    create(server, TOPIC)
    produce(server, TOPIC, [("k", "v")])
    group = {"bootstrap.servers": server.bootstrap, "group.id": "g", "enable.auto.commit": False}
    consumer = Consumer(group)
    for i in range(700):
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, i, "m" * 4000)], asynchronous=False)

    def size():
        return sum(file_size(p) for p in server.data.glob("topics/*/*.log") if "-0" not in p.parent.name[:2])

    wait_for(lambda: size() < 1500000, 90, "the offsets to be compacted")
    for restart in (server.kill, server.stop):
        restart()
        server.start()
        committed = wait_for(
            lambda: consumer.committed([TopicPartition(TOPIC, 0)], timeout=20), 30, "the committed offset"
        )
        assert committed[0].offset == 699
        consumer.commit(offsets=[TopicPartition(TOPIC, 0, 699, "m")], asynchronous=False)
    consumer.close()
    assert server.stop() == 0


def test_compaction__log_verify_beside_it_never_calls_it_a_loss(server):
    """From before the first files are replaced, through the time in which no checkpoint covers that, and behind."""
    create(
        server, TOPIC, **{"cleanup.policy": "compact", "internal.segment.bytes": "3000",
                          "min.cleanable.dirty.ratio": "0.01"}
    )
    write(server, "none")
    most = behind = 0

    def looked():
        nonlocal most, behind
        segments = len(list(server.data.glob("topics/*-0/*.log")))
        most = max(most, segments)
        behind += segments < most
        produce(server, TOPIC, [("k0", f"more-{behind}")])  # only with new frames there are new checkpoints
        code, out, err = log_command(server.data, "verify", "--live")
        assert code == 0 and out.rstrip().endswith("all is well"), out + err
        code, out, err = log_command(server.data, "dump", "--live", "--topic", TOPIC, "--batches")
        assert code == 0 and "DAMAGED" not in out, out + err
        return behind >= 10

    wait_for(looked, 90, "looks behind a compaction")
    assert server.stop() == 0
    assert log_command(server.data, "verify")[0] == 0
