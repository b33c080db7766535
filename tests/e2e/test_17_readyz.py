"""/readyz is 503 and names the part that is failed, behind or draining, and 200 again where that can end."""

import os
import signal
import socket

import pytest
from fault.crash.cutdisk import CutDisk
from support.server import Eventbox, request, wait_for


@pytest.fixture
def disk(tmp_path):
    """A file system whose power can be cut: from then on every write and sync of it fails."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a file system of its own")
    try:
        disk = CutDisk(tmp_path, megabytes=256)
    except (RuntimeError, OSError) as error:
        pytest.skip(f"needs a loop device with ext4: {error}")
    yield disk
    disk.close()


@pytest.fixture
def start(disk, tmp_path):
    """Starts a server; what has failed cannot end cleanly, so it is killed at the end, before the disk goes."""
    servers = []

    def run(data, *args):
        server = Eventbox(data, args=args)
        server.log_path = tmp_path / "server.log"
        servers.append(server)
        return server.start()

    yield run
    for server in servers:
        if server.process.poll() is None:
            server.kill()
        assert "AddressSanitizer" not in server.log() and "runtime error:" not in server.log()


def parts(server, port=None):
    """Names of the parts that are not well, with their states; {} when it is ready."""
    answer = request(port or server.users, "GET", "/readyz")
    if answer.status == 200:
        assert answer.json == {"status": "ready"}
        return {}
    assert answer.status == 503 and answer.headers["retry-after"] and answer.json["status"] == "unavailable"
    assert all(part["detail"] for part in answer.json["parts"])
    return {part["part"]: part["state"] for part in answer.json["parts"]}


def ready_metric(server):
    text = server.user_service("GET", "/metrics").raw.decode()
    return next(line.split()[-1] for line in text.splitlines() if line.startswith("eventbox_ready "))


def test_readyz__journal_that_failed_is_named_and_so_is_the_relay_behind_it(start, disk, tmp_path):
    server = start(disk.mount_point / "data", f"--database_url=sqlite:///{tmp_path}/store.db")
    assert parts(server) == {} and ready_metric(server) == "1"
    assert server.register("before").status == 201
    disk.cut()
    assert server.register("after").status == 201, "the database is elsewhere"
    failed = {"broker": "failed", "relay": "failed"}
    wait_for(lambda: parts(server) == failed, what="both parts")
    assert parts(server, server.notify) == failed and ready_metric(server) == "0"
    assert server.user_service("GET", "/healthz").status == 200
    assert [user["username"] for user in server.user_service("GET", "/users/").json] == ["before", "after"]


def test_readyz__database_that_failed_is_named_and_so_is_the_consumer_that_needs_it(start, disk, tmp_path):
    server = start(tmp_path / "data", f"--database_url=sqlite:///{disk.mount_point}/store.db")
    assert server.register("before").status == 201
    wait_for(lambda: len(server.notifications()) == 1, what="the mail")
    assert parts(server) == {}
    disk.cut()
    assert server.register("after").status >= 500
    wait_for(lambda: parts(server).get("store") == "failed", what="the database")
    server.kcat("-P", "-t", "notification", "-p", "0", stdin="".join(f"record {i}\n" for i in range(20)))
    wait_for(lambda: parts(server) == {"store": "failed", "notify": "failed"}, what="the consumer")
    assert parts(server, server.notify) == {"store": "failed", "notify": "failed"}, "the log is elsewhere and well"
    assert server.user_service("GET", "/healthz").status == 200


def test_readyz__draining_is_named_while_a_request_is_in_flight(make_eventbox):
    """Both requests have begun when the signal comes; new connections are refused by then."""
    server = make_eventbox().start()
    body = b'{"username":"last","email":"last@example.com","password":"SecurePass123","role":"user"}'
    fields = b" HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"

    def begin(target, text):
        held = socket.create_connection(("127.0.0.1", server.users), 10)
        held.sendall(target + fields % (len(text), text[:1]))
        return held

    def finish(held, text):
        answer = b""
        with held:
            held.sendall(text[1:])
            while piece := held.recv(65536):
                answer += piece
        return answer

    register, ready = begin(b"POST /users/", body), begin(b"GET /readyz", b"{}")
    wait_for(lambda: b"eventbox_http_connections{service=\"user-service\"} 3" in metrics(server), what="both requests")
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: [x for x in server.log_lines() if x["action"] == "draining"], what="draining")
    answer = finish(ready, b"{}")
    assert answer.startswith(b"HTTP/1.1 503 ") and b'"part":"eventbox","state":"draining"' in answer, answer
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.users), 10)
    assert finish(register, body).startswith(b"HTTP/1.1 201 ")
    assert server.process.wait(30) == 0


def metrics(server):
    return server.user_service("GET", "/metrics").raw


def test_readyz__a_topic_that_goes_on_far_behind_lost_frames_leaves_nobody_behind(make_eventbox):
    """Rot in a frame of the journal: partitions that it may have named go on at 2^32, and nothing lies between."""
    server = make_eventbox().start()
    for n in range(12):
        server.kcat("-P", "-t", "t", "-p", "0", stdin=f"marked-{n:02}\n")
    server.kill()
    journal = next(p for p in (server.data / "journal").glob("0*") if b"marked-06" in p.read_bytes())
    data = bytearray(journal.read_bytes())
    data[data.index(b"marked-06")] ^= 1
    journal.write_bytes(data)
    server.start()
    assert "4294967296" in server.log()
    wait_for(lambda: parts(server) == {}, what="readiness")
    assert parts(server, server.notify) == {}
    text = server.user_service("GET", "/metrics").raw.decode()
    assert all(line.split()[-1] == "0" for line in text.splitlines() if line.startswith("eventbox_notify_lag"))
