"""Signals, draining, and what survives kill -9."""

import json
import re
import signal
import socket
import threading
import time

import pytest
from support.server import request, wait_for


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_signal__drains_and_exits_0(eventbox, name):
    answers = []

    def register():
        try:
            answers.append(eventbox.register("inflight").status)
        except OSError:
            answers.append(None)

    thread = threading.Thread(target=register)
    thread.start()
    time.sleep(0.01)
    eventbox.process.send_signal(getattr(signal, name))
    assert eventbox.process.wait(30) == 0
    thread.join()
    eventbox.start()
    users = eventbox.user_service("GET", "/users/").json
    assert len(users) == 1 or answers != [201]


def test_second_signal__ends_at_once(make_eventbox):
    server = make_eventbox().start()
    with socket.create_connection(("127.0.0.1", server.users)) as held:
        held.sendall(
            b"POST /users/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
        )
        time.sleep(0.1)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.1)
        if server.process.poll() is None:
            server.process.send_signal(signal.SIGTERM)
        server.process.wait(5)
    server.start()


def test_sighup__reloads_the_log_level(make_eventbox, tmp_path):
    conf = tmp_path / "c"
    conf.write_text("[eventbox]\nlog_level = info\n")
    server = make_eventbox(args=["--conf", str(conf)]).start()
    server.user_service("GET", "/users/")
    assert not [line for line in server.log_lines() if line["action"] == "http_request"]
    conf.write_text("[eventbox]\nlog_level = debug\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: [line for line in server.log_lines() if line["action"] == "reloaded"], what="the reload")
    server.user_service("GET", "/users/")
    wait_for(lambda: [line for line in server.log_lines() if line["action"] == "http_request"], what="debug lines")
    conf.write_text("[eventbox]\nlog_level = loud\n")
    server.process.send_signal(signal.SIGHUP)
    wait_for(lambda: [line for line in server.log_lines() if line["action"] == "reload_failed"], what="the refusal")
    assert server.user_service("GET", "/healthz").status == 200


def test_sighup__settings_that_do_not_fit_together_change_nothing(make_eventbox, tmp_path):
    conf = tmp_path / "c"
    conf.write_text("[eventbox]\nlog_level = info\n")
    server = make_eventbox(args=["--conf", str(conf)]).start()
    conf.write_text("[eventbox]\nlog_level = debug\n[users]\nsession_idle = 2d\nsession_absolute = 1d\n")
    server.process.send_signal(signal.SIGHUP)

    def lines(*actions):
        return [line for line in server.log_lines() if line["action"] in actions]

    refused = wait_for(lambda: lines("reload_failed", "reloaded"), what="the refusal")
    assert len(refused) == 1 and "users.session_idle is longer" in refused[0]["details"]["reason"]
    server.user_service("GET", "/users/")
    assert server.stop() == 0
    assert not lines("http_request", "reloaded")


def test_readyz__names_the_draining_part(make_eventbox):
    server = make_eventbox().start()
    assert request(server.users, "GET", "/readyz").json["status"] in ("ok", "ready")


def test_kill__users_records_offsets_and_mails_are_there(eventbox):
    for i in range(10):
        assert eventbox.register(f"keep{i}").status == 201
    eventbox.kcat("-P", "-t", "kept", "-p", "0", stdin="\n".join(f"r{i}" for i in range(100)) + "\n")
    wait_for(
        lambda: len([n for n in eventbox.notifications("?limit=100") if n["deliveries"][0]["state"] == "sent"]) == 10,
        what="ten mails",
    )
    for _ in range(3):
        eventbox.kill()
        eventbox.start()
        assert len(eventbox.user_service("GET", "/users/").json) == 10
        assert eventbox.consume("kept", "%s\n").split() == [f"r{i}" for i in range(100)]
        assert len(eventbox.consume("notification").splitlines()) == 10
        assert len(eventbox.notifications("?limit=100")) == 10


def test_kill__group_goes_on_where_it_was(eventbox):
    eventbox.kcat("-P", "-t", "work", "-p", "0", stdin="\n".join(f"r{i}" for i in range(10)) + "\n")
    first = eventbox.kcat("-G", "g1", "-c", "4", "-q", "-f", "%s\n", "-X", "auto.offset.reset=earliest", "work")
    assert first.split() == ["r0", "r1", "r2", "r3"]
    eventbox.kill()
    eventbox.start()
    rest = eventbox.kcat(
        "-G", "g1", "-c", "6", "-q", "-f", "%s\n", "-X", "auto.offset.reset=earliest", "work", timeout=60
    )
    assert rest.split() == [f"r{i}" for i in range(4, 10)]


def test_clean_stop__next_start_replays_nothing(eventbox):
    eventbox.register("x")
    assert eventbox.stop() == 0
    before = len(eventbox.log_lines())
    eventbox.start()
    recovered = [line for line in eventbox.log_lines()[before:] if line["action"] == "log_recovered"]
    assert not recovered or "replayed 0" in json.dumps(recovered)


def figures_of(port):
    figures = {}
    for line in request(port, "GET", "/metrics").raw.decode().splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            assert name not in figures, f"{name} stands there twice"
            figures[name] = float(value)
    return figures


def test_metrics__log_and_steps_of_operations_are_told_by_both_services(eventbox):
    assert eventbox.register("measured").status == 201
    eventbox.consume("notification")
    eventbox.notifications()
    for port in (eventbox.users, eventbox.notify):
        figures = figures_of(port)
        for step in ("hash", "insert"):
            assert figures[f'eventbox_op_step_seconds_count{{op="users.create",step="{step}"}}'] == 1
        assert any(name.startswith('eventbox_op_step_seconds_count{op="notifications.') for name in figures)
        frames = figures["eventbox_log_frames_total"]
        assert frames > 0
        for name in ("group_bytes", "group_seconds", "sync_seconds"):
            assert figures[f"eventbox_log_{name}_count"] == frames
            assert figures[f'eventbox_log_{name}_bucket{{le="+Inf"}}'] == frames
        assert figures["eventbox_log_group_bytes_sum"] == figures["eventbox_log_frame_bytes_total"]
        assert figures['eventbox_log_group_bytes_bucket{le="2048"}'] == 0, "a frame is 4 KiB at least"
        assert figures["eventbox_log_group_seconds_sum"] >= figures["eventbox_log_sync_seconds_sum"] > 0
        assert figures["eventbox_kafka_bytes_in_total"] > 0 and figures["eventbox_kafka_bytes_out_total"] > 0


def reads_by_source(server):
    """[reads, bytes] of each."""
    figures = figures_of(server.users)
    return {
        source: [figures[f'eventbox_log_{name}_total{{source="{source}"}}'] for name in ("reads", "read_bytes")]
        for source in ("memory", "page_cache", "disk")
    }


def read_by(server, topic):
    """What one consumer that reads all of the topic has added to them."""
    before = reads_by_source(server)
    server.consume(topic, "%o\n")
    after = reads_by_source(server)
    return {source: [b - a for a, b in zip(before[source], after[source])] for source in after}


def checkpoints(figures):
    return sum(value for name, value in figures.items() if name.startswith("eventbox_log_checkpoints_total"))


def test_metrics__of_the_log_tell_its_traffic_and_a_crash(eventbox):
    record, size = "x" * 100_000 + "\n", 30 * 100_000  # less than half of what memory may hold
    before = figures_of(eventbox.users)
    eventbox.kcat("-P", "-t", "busy", "-p", "0", stdin=30 * record)
    after = figures_of(eventbox.users)
    assert after["eventbox_log_append_bytes_total"] - before["eventbox_log_append_bytes_total"] > size
    assert after["eventbox_log_segments"] > before["eventbox_log_segments"] > 0
    assert after["eventbox_log_journal_bytes"] > 0
    read = read_by(eventbox, "busy")
    assert read["memory"][0] > 0 and read["memory"][1] > size, read
    assert read["page_cache"] == read["disk"] == [0, 0], read

    # The next checkpoint, which is seconds away then, must not come between the last record and the kill.
    taken = checkpoints(after)
    wait_for(lambda: checkpoints(figures_of(eventbox.users)) > taken, what="a checkpoint")
    eventbox.kcat("-P", "-t", "replayed", "-p", "0", stdin=200 * record)
    eventbox.kill()
    eventbox.start()
    told = [json.dumps(line) for line in eventbox.log_lines() if line["action"] == "log_recovered"]
    recovery_ms = int(re.search(r"replayed \d+ frames, .* in (\d+) ms", told[-1]).group(1))
    assert figures_of(eventbox.users)["eventbox_log_recovery_milliseconds"] == recovery_ms > 0
    # Memory has nothing of it: the first read goes through the gate, which tells where the next ones may begin.
    read = read_by(eventbox, "busy")
    assert read["memory"] == [0, 0], read
    assert read["page_cache"][0] > 0 and read["disk"][0] > 0, read
    assert 0 < read["page_cache"][1] < size and 0 < read["disk"][1] < size, read
    assert read["page_cache"][1] + read["disk"][1] > size, read
