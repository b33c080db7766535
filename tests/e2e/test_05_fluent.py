"""Log lines at a forward-protocol server from a package."""

import datetime
import re
import socket
import threading
import time

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
    wait_for(
        lambda: forward.records("user_created") and forward.records("stopped") or forward.records("user_created"),
        what="the lines of the end",
    )
