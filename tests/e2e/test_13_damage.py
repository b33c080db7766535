"""Damage on disk: named once, everything else stays readable."""

import subprocess

from support.server import wait_for


def test_damaged_segment__is_named_and_the_rest_is_readable(make_eventbox):
    server = make_eventbox(modules="broker").start()
    for i in range(20):
        server.kcat("-P", "-t", "rot", "-p", "0", stdin=f"record-{i}-" + "x" * 200 + "\n")
    assert server.stop() == 0
    segment = next(p for p in server.data.glob("topics/*-0/*.log") if b"record-0-" in p.read_bytes())
    data = bytearray(segment.read_bytes())
    data[data.index(b"record-0-") + 20] ^= 0xFF
    segment.write_bytes(data)
    server.start()
    command = [
        "kcat",
        "-b",
        server.bootstrap,
        "-C",
        "-t",
        "rot",
        "-p",
        "0",
        "-o",
        "0",
        "-e",
        "-q",
        "-X",
        "check.crcs=true",
    ]
    subprocess.run(command, capture_output=True, timeout=20)
    line = wait_for(lambda: [x for x in server.log_lines() if x["action"] == "log_damaged"], what="the log line")[0]
    assert "rot-0" in str(line["details"]) and "offset 0" in str(line["details"])
    rest = server.kcat("-C", "-t", "rot", "-p", "0", "-o", "1", "-e", "-q", "-f", "%s\n").split()
    assert [r.rsplit("-", 1)[0] for r in rest] == [f"record-{i}" for i in range(1, 20)]
    server.kcat("-P", "-t", "rot", "-p", "0", stdin="after\n")
    assert server.kcat("-C", "-t", "rot", "-p", "0", "-o", "20", "-e", "-q", "-f", "%s\n") == "after\n"


def test_database_removed__start_is_refused_in_one_line(make_eventbox):
    """Else ids would be given out again while the topics still name them."""
    server = make_eventbox().start()
    assert server.register("kept").status == 201
    assert server.stop() == 0
    kept = {p: p.read_bytes() for p in server.data.glob("eventbox.db*")}
    for path in kept:
        path.unlink()
    server.spawn()
    assert server.process.wait(20) == 2
    assert any("another database" in line and str(server.data) in line for line in server.log().splitlines())
    for path in server.data.glob("eventbox.db*"):
        path.unlink()
    for path, content in kept.items():
        path.write_bytes(content)
    server.start()
    assert [u["username"] for u in server.user_service("GET", "/users/").json] == ["kept"]


def test_wal_damaged_at_its_beginning__ids_go_on_above_all_that_the_log_names(make_eventbox):
    """SQLite reads a WAL up to its first bad frame: rows that were acknowledged are gone without a word."""
    server = make_eventbox().start()
    assert server.register("kept").json["id"] == 1
    assert server.stop() == 0  # moves the WAL into the database
    server.start()
    assert [server.register(name).json["id"] for name in ("lost", "lost2")] == [2, 3]
    wait_for(lambda: server.consume("users.snapshot").count("lost") >= 2, what="the events in the log")
    server.kill()
    wal = server.data / "eventbox.db-wal"
    data = bytearray(wal.read_bytes())
    data[32 + 24 + 100] ^= 0xFF  # in the page of the first frame
    wal.write_bytes(data)
    server.start()
    line = next(x for x in server.log_lines() if x["action"] == "database_behind")
    assert line["level"] == "ERROR" and line["details"]["database_event"] < line["details"]["log_event"]
    assert server.register("next").json["id"] == 4
    assert wait_for(lambda: [x for x in server.consume("user_created", "%k\n").split() if x == "4"], what="its event")
    assert server.stop() == 0
    server.start()
    assert sum(x["action"] == "database_behind" for x in server.log_lines()) == 1
