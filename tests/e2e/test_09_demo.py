"""scripts/demo shows every hop of one user; scripts/consume prints what the original's test consumer printed."""

import os
import re
import signal
import subprocess
import threading

from support.server import ROOT, free_ports, wait_for


def demo(server, *arguments, notify=None, **kw):
    command = [
        str(ROOT / "scripts/demo"),
        "--users",
        f"http://127.0.0.1:{server.users}",
        "--notify",
        notify or f"http://127.0.0.1:{server.notify}",
        "--bootstrap",
        server.bootstrap,
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, **kw)


def hops(done):
    return [line.split()[0] for line in done.stdout.splitlines()]


class Consume:
    """scripts/consume in the background; its lines as they come."""

    def __init__(self, server, *arguments):
        self.process = subprocess.Popen(
            [str(ROOT / "scripts/consume"), "--bootstrap", server.bootstrap, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that a shell has put into the background hands on that it ignores Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.lines, self.errors = [], []
        for stream, lines in ((self.process.stdout, self.lines), (self.process.stderr, self.errors)):
            threading.Thread(
                target=lambda s=stream, kept=lines: kept.extend(iter(s.readline, "")), daemon=True
            ).start()

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def test_demo__shows_every_hop_under_one_trace(eventbox):
    eventbox.register("earlier")
    done = demo(eventbox, "--log", str(eventbox.log_path))
    assert done.returncode == 0, done.stdout + done.stderr
    assert hops(done)[:8] == ["trace", "request", "row", "outbox", "topic", "topic", "delivery", "mail"], done.stdout
    trace = done.stdout.split()[1]
    assert re.fullmatch(r"[0-9a-f]{32}", trace)
    assert "-> 201" in done.stdout and "users.events, partition 0, offset 1 " in done.stdout
    assert "notification, partition 0, offset 1 " in done.stdout
    assert "through mailbox" in done.stdout and ": sent" in done.stdout
    logged = [line for line in done.stdout.splitlines() if line.startswith("log")]
    assert all(trace in line for line in logged)
    for action in ("user_created", "event_published", "notification_accepted", "notification_sent"):
        assert any(action in line for line in logged), action


def test_demo__without_kcat_reads_the_log(eventbox, tmp_path):
    tools = tmp_path / "tools"
    tools.mkdir()
    for tool in ("bash", "env", "curl", "sed", "grep", "head", "tail", "od", "tr", "sleep"):
        path = next(p for p in os.environ["PATH"].split(":") if os.access(f"{p}/{tool}", os.X_OK))
        (tools / tool).symlink_to(f"{path}/{tool}")
    env = {**os.environ, "PATH": str(tools)}
    done = demo(eventbox, "--log", str(eventbox.log_path), env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "offset 0 (from the log)" in done.stdout
    blind = demo(eventbox, env=env)
    assert blind.returncode == 1 and "kcat is not installed" in blind.stdout, blind.stdout


def test_demo__says_which_hop_is_missing(eventbox, tmp_path):
    other = free_ports(1)[0]
    done = demo(eventbox, notify=f"http://127.0.0.1:{other}")
    assert done.returncode == 1, done.stdout
    missing = [line.split()[0] for line in done.stdout.splitlines() if "NOT SEEN" in line]
    assert missing == ["outbox", "delivery", "mail"], done.stdout


def test_demo__nobody_there(make_eventbox):
    done = demo(make_eventbox())
    assert done.returncode == 1 and "is eventbox running there?" in done.stdout


def test_consume__prints_the_events_there_are_and_ends_after_count(eventbox):
    eventbox.register("early")
    wait_for(lambda: eventbox.consume("user_created"), what="the record")
    command = [str(ROOT / "scripts/consume"), "--bootstrap", eventbox.bootstrap, "--from-beginning", "--count", "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    of_topic = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert of_topic["notification"] == "notification [0] @0 user_created: User created with ID: 1"
    assert of_topic["user_created"].startswith('user_created [0] @0 1: {"id":1,"username":"early"')


def test_consume__prints_what_arrives_and_ends_on_ctrl_c(eventbox):
    eventbox.register("before")
    wait_for(lambda: eventbox.consume("notification"), what="the first record")
    consume = Consume(eventbox, "--topics", "notification")
    try:
        wait_for(lambda: "reading notification [0]" in "".join(consume.errors), 40, "the assignment")
        number = [1]

        def seen():  # the end of the log is looked up after the assignment: register until one shows
            number[0] += 1
            assert eventbox.register(f"later{number[0]}").status == 201
            return consume.lines

        wait_for(seen, 30, "a record")
        assert "notification [0] @" in consume.lines[0] and "ID: 1\n" not in consume.lines[0]
        consume.process.send_signal(signal.SIGINT)
        assert consume.process.wait(20) == 0
        assert "Traceback" not in "".join(consume.errors)
    finally:
        consume.close()
