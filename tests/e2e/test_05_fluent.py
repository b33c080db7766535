"""Log lines at a forward-protocol server from a package."""

import datetime
import re
import socket
import threading
import time

import pytest
from support.peers.hand_forward import LateForward, PickyForward
from support.server import wait_for


def with_forward(make_eventbox, forward, **kw):
    return make_eventbox(args=[f"--fluent.port={forward.port}", "--fluent.flush_ms=100ms"], **kw)


def test_record__has_the_shape_of_the_original(make_eventbox, forward):
    forward.start()
    server = with_forward(make_eventbox, forward).start()
    server.register("logged")
    (record,) = wait_for(
        lambda: [r for r in forward.records("user_created") if r["service"] == "user-service"], what="the record"
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", record["timestamp"])
    when = datetime.datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00"))
    assert abs(when.timestamp() - time.time()) < 60
    assert (record["level"], record["service"], record["action"], record["user_id"]) == (
        "INFO",
        "user-service",
        "user_created",
        1,
    )
    assert isinstance(record["details"], dict)
    assert re.fullmatch(r"[0-9a-f]{32}", record["trace_id"])
    tags = {e["tag"] for e in forward.events}
    assert "user-service" in tags
    for event in forward.events:
        assert event["tag"] == event["record"]["service"]
        assert isinstance(event["record"]["details"], dict)
        assert event["record"].get("user_id") is None or isinstance(event["record"]["user_id"], int)
    wait_for(
        lambda: {"notification-service", "broker", "eventbox"} <= {e["tag"] for e in forward.events},
        what="all four services",
    )


def test_server_down__nothing_blocks_and_lines_come_later(make_eventbox, forward):
    server = with_forward(make_eventbox, forward).start()
    for i in range(20):
        assert server.register(f"down{i}").status == 201
    forward.start()
    wait_for(lambda: len({r["user_id"] for r in forward.records("user_created")}) == 20, 60, "all twenty lines")


def test_server_restarts__unacknowledged_lines_come_again(make_eventbox, forward):
    forward.start()
    server = with_forward(make_eventbox, forward).start()
    server.register("before")
    wait_for(lambda: forward.records("user_created"), what="the first line")
    forward.stop()
    for i in range(5):
        server.register(f"between{i}")
    forward.start()
    wait_for(lambda: {1, 2, 3, 4, 5, 6} <= {r["user_id"] for r in forward.records("user_created")}, 60, "all lines")


def test_server_that_never_reads__blocks_nobody(make_eventbox):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        held = []
        threading.Thread(target=lambda: held.append(listener.accept()), daemon=True).start()
        server = make_eventbox(
            args=[f"--fluent.port={listener.getsockname()[1]}", "--fluent.buffer_bytes=4MiB", "--log_level=debug"]
        ).start()
        for i in range(30):
            assert server.user_service("GET", "/users/").status == 200
        begun = time.monotonic()
        assert server.user_service("GET", "/healthz").status == 200
        assert time.monotonic() - begun < 5
        server.close()


def test_shutdown__flushes(make_eventbox, forward):
    forward.start()
    server = make_eventbox(args=[f"--fluent.port={forward.port}", "--fluent.flush_ms=60s"]).start()
    server.register("last")
    assert server.stop() == 0
    wait_for(lambda: forward.records("user_created"), what="the lines of the end")


def test_late_ack__the_chunk_comes_again_under_its_id_and_then_never(make_eventbox):
    peer = LateForward()
    server = make_eventbox(
        args=[f"--fluent.port={peer.port}", "--fluent.flush_ms=50ms", "--fluent.ack_timeout_ms=1000ms"]
    ).start()
    server.register("late")

    def acknowledged():
        return {chunk for connection, chunk, _ in peer.chunks if connection > 0}

    wait_for(lambda: peer.chunks and {c for n, c, _ in peer.chunks if n == 0} <= acknowledged(), 60, "repeats")
    first = [chunk for connection, chunk, _ in peer.chunks if connection == 0]
    assert len(first) == len(set(first)), "no chunk goes out twice on one connection"
    server.register("after")
    wait_for(lambda: [r for _, _, rs in peer.chunks for r in rs if r.get("user_id") == 2], what="a line after it")
    later = [chunk for connection, chunk, _ in peer.chunks if connection > 0]
    assert len(later) == len(set(later)), "what was acknowledged is not sent again"
    users = [r["user_id"] for n, _, rs in peer.chunks if n > 0 for r in rs if r["action"] == "user_created"]
    assert users == [1, 2]
    metrics = server.user_service("GET", "/metrics").raw.decode()
    assert re.search(r"^eventbox_fluent_ack_timeouts_total [1-9]", metrics, re.M)
    server.close()
    peer.close()


@pytest.mark.parametrize("silently, reason", [(False, "closed"), (True, "passed_over")], ids=["closes", "says nothing"])
def test_refused_record__goes_alone_and_is_counted(make_eventbox, silently, reason):
    peer = PickyForward(lambda r: r["action"] == "user_created" and r.get("user_id") == 3, silently)
    args = [f"--fluent.port={peer.port}", "--fluent.flush_ms=1s", "--fluent.ack_timeout_ms=2s"]
    server = make_eventbox(args=args).start()
    for i in range(6):
        server.register(f"picky{i}")

    def taken():
        return sorted(r["user_id"] for r in list(peer.taken) if r["action"] == "user_created")

    wait_for(lambda: taken() == [1, 2, 4, 5, 6], 60, "the neighbours, each once")

    def metric(name):
        text = server.user_service("GET", "/metrics").raw.decode()
        return int(re.search(rf"^{re.escape(name)} (\d+)$", text, re.M)[1])

    wait_for(lambda: metric(f'eventbox_fluent_refused_total{{reason="{reason}"}}') == 1, 60, "the metric")
    assert metric("eventbox_fluent_overflowed_total") == 0
    assert metric('eventbox_fluent_dropped_total{level="info"}') == 1
    (line,) = [x for x in server.log_lines() if x["action"] == "log_refused"]
    assert line["details"] == {
        "of": "user-service",
        "refused_action": "user_created",
        "refused_level": "INFO",
        "reason": reason,
    }
    server.register("after")
    wait_for(lambda: taken() == [1, 2, 4, 5, 6, 7], 60, "lines after it")
    wait_for(lambda: [r for r in list(peer.taken) if r["action"] == "log_dropped"], 60, "the line that counts it")
    server.close()
    peer.close()
