"""A real file system that is full: what is refused, what goes on, a kill in the middle, and the end of it."""

import os
import subprocess

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from support.server import Eventbox, wait_for
from test_14_log_commands import SOUND, log_command

DISK_MIB = 96


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of its own; only root can mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a small file system")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "eventbox-test", str(folder)], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("needs a mount of tmpfs, which this machine refuses")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def server(small_disk):
    server = Eventbox(small_disk / "data")
    server.log_path = small_disk.parent / "server.log"
    yield server
    if server.process:
        server.close()


def fill(folder, leave=0):
    """Takes what is free, to the last byte but `leave`, as another program would."""
    with open(folder / "filler", "ab", buffering=0) as filler:
        left = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize - leave
        try:
            while left > 0:
                left -= filler.write(b"x" * min(left, 1 << 20))
        except OSError:
            pass


def free(folder):
    (folder / "filler").unlink()


def actions(server):
    return [line["action"] for line in server.log_lines()]


def produce(server, value, retries=0, timeout=3.0):
    """The error of one record's delivery, None when it was acknowledged."""
    outcome = []
    producer = Producer(
        {
            "bootstrap.servers": server.bootstrap,
            "retries": retries,
            "message.timeout.ms": int(timeout * 1000),
            "retry.backoff.ms": 100,
        }
    )
    producer.produce("room", value, partition=0, on_delivery=lambda error, message: outcome.append(error))
    producer.flush(timeout + 5)
    return outcome[0]


def read_all(server):
    return server.consume("room", "%s\n").split()


def commit(server, offset):
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "readers"})
    consumer.commit(offsets=[TopicPartition("room", 0, offset)], asynchronous=False)
    committed = consumer.committed([TopicPartition("room", 0)], timeout=10)[0].offset
    consumer.close()
    return committed


def login(server, name):
    body = {"username": name, "password": "SecurePass123"}
    return server.user_service("POST", "/users/login", body).status


def metric(server, name):
    text = server.user_service("GET", "/metrics").raw.decode()
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


def wait_until_full(server):
    wait_for(lambda: "disk_full" in actions(server), 15, "the log line of a full disk")


def wait_until_room(server, times=1):
    """Within 5 s, as is promised; the margin is that of a busy machine with sanitizers."""
    wait_for(lambda: actions(server).count("disk_again") >= times, 15, "the log line of room again")


def test_disk_full__adding_is_refused_and_the_rest_goes_on_until_there_is_room(server, small_disk):
    server.start()
    assert server.register("early").status == 201
    assert server.register("leaving").status == 201
    for i in range(5):
        assert produce(server, f"before-{i}") is None
    fill(small_disk, leave=3 << 20)
    wait_for(lambda: "disk_low" in actions(server), 15, "the warning before it is full")
    assert metric(server, "eventbox_disk_low") == 1 and metric(server, "eventbox_disk_full") == 0
    assert server.user_service("GET", "/readyz").status == 200
    fill(small_disk)
    wait_until_full(server)
    # Refused, each in the words of its protocol.
    error = produce(server, "refused")
    assert error is not None and error.code() in (KafkaError.KAFKA_STORAGE_ERROR, KafkaError._MSG_TIMED_OUT), error
    answer = server.register("late")
    assert answer.status == 507, answer
    ready = server.user_service("GET", "/readyz")
    assert ready.status == 503 and [p["part"] for p in ready.json["parts"]] == ["disk"]
    assert metric(server, "eventbox_disk_full") == 1 and metric(server, "eventbox_disk_reserve_bytes") == 0
    # Goes on.
    assert [u["username"] for u in server.user_service("GET", "/users/").json] == ["early", "leaving"]
    assert read_all(server) == [f"before-{i}" for i in range(5)]
    assert login(server, "early") == 200
    assert commit(server, 3) == 3
    assert server.user_service("DELETE", "/users/2").status in (200, 204)
    # Room again: by itself, within seconds, with nothing lost and nothing half written.
    free(small_disk)
    wait_until_room(server)
    assert server.register("late").status == 201
    assert produce(server, "after") is None
    assert read_all(server) == [f"before-{i}" for i in range(5)] + ["after"]
    assert server.user_service("GET", "/readyz").status == 200
    assert metric(server, "eventbox_disk_reserve_bytes") > 0
    assert server.stop() == 0
    assert log_command(server.data, "verify")[0] == SOUND


def test_disk_full__a_client_that_retries_gets_through_when_there_is_room(server, small_disk):
    """Error 56 is retriable, so a producer with its defaults loses nothing over a full disk."""
    server.start()
    assert produce(server, "before") is None
    fill(small_disk)
    wait_until_full(server)
    outcome = []
    producer = Producer({"bootstrap.servers": server.bootstrap, "enable.idempotence": True, "retry.backoff.ms": 100})
    producer.produce("room", "patient", partition=0, on_delivery=lambda error, message: outcome.append(error))
    producer.flush(2)
    assert outcome == []
    free(small_disk)
    wait_until_room(server)
    assert producer.flush(20) == 0 and outcome == [None]
    assert read_all(server) == ["before", "patient"]


def test_disk_full__kill_and_start_without_a_byte_free(server, small_disk):
    server.start()
    assert server.register("early").status == 201
    for i in range(5):
        assert produce(server, f"before-{i}") is None
    fill(small_disk)
    wait_until_full(server)
    fill(small_disk)  # what the reserve gave back, too
    server.kill()
    fill(small_disk)
    server.spawn()
    wait_for(lambda: server._died() or actions(server).count("started") == 2, 30, "the start")
    ready = server.user_service("GET", "/readyz")
    assert ready.status == 503 and "disk" in [p["part"] for p in ready.json["parts"]]
    assert [u["username"] for u in server.user_service("GET", "/users/").json] == ["early"]
    assert read_all(server) == [f"before-{i}" for i in range(5)]
    assert server.register("late").status == 507
    free(small_disk)
    wait_until_room(server)
    assert server.register("late").status == 201
    assert produce(server, "after") is None
    assert read_all(server) == [f"before-{i}" for i in range(5)] + ["after"]
    wait_for(lambda: server.user_service("GET", "/readyz").status == 200, 20, "readiness")
    assert server.stop() == 0
    assert log_command(server.data, "verify")[0] == SOUND


def test_disk_full__kill_while_the_reserve_is_held(server, small_disk):
    """Others fill the disk while no server runs: the reserve is what the start lives on."""
    server.start()
    assert server.register("early").status == 201
    assert produce(server, "before") is None
    wait_for(lambda: (server.data / "reserve").exists(), 10, "the reserve")
    server.kill()
    fill(small_disk)
    server.spawn()
    wait_for(lambda: server._died() or actions(server).count("started") == 2, 30, "the start")
    assert not (server.data / "reserve").exists()
    assert login(server, "early") == 200
    assert read_all(server) == ["before"]
    assert server.register("late").status == 507
    free(small_disk)
    wait_until_room(server)
    assert server.register("late").status == 201


@pytest.mark.parametrize("leave", [0, 200 << 10])
def test_disk_full__a_first_start_is_told_to_make_room(small_disk, leave):
    """Not that this user may not write there: at first not even meta.json fits, then no journal."""
    fill(small_disk, leave)
    server = Eventbox(small_disk / "data", log_path=small_disk.parent / "server.log").spawn()
    assert server.process.wait(30) != 0
    lines = [line for line in server.log().splitlines() if line.startswith("eventbox: ")]
    assert len(lines) == 1 and "make room on its disk" in lines[0], server.log()
    assert "may write" not in lines[0] and "restore" not in lines[0]
    free(small_disk)
    server = Eventbox(small_disk / "data", log_path=small_disk.parent / "again.log").start()
    server.close()
