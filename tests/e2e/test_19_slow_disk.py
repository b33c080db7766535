"""A disk whose writes take seconds: who waits for them waits, and nobody else does."""

import shutil
import subprocess

import pytest
from confluent_kafka import Producer

from support.server import request, wait_for

SLOW_US = 4_000_000


class SlowCalls:
    """strace on a running server: each call of a kind on some files begins so much later."""

    def __init__(self, server, call, paths, output):
        self.output = output
        files = [argument for path in paths for argument in ("-P", str(path))]
        self.process = subprocess.Popen(
            ["strace", "-f", "-qq", "-o", str(output), "-p", str(server.process.pid), *files]
            + ["-e", f"trace={call}", "-e", f"inject={call}:delay_enter={SLOW_US}"],
            stderr=subprocess.PIPE,
            text=True,
        )
        status = f"/proc/{server.process.pid}/status"
        wait_for(lambda: self.process.poll() is not None or self.traced(status), what="strace to hold the server")
        if self.process.poll() is not None:
            pytest.skip(f"needs strace on a process of one's own: {self.process.stderr.read()}")

    @staticmethod
    def traced(status):
        with open(status, encoding="ascii") as lines:
            return "TracerPid:\t0\n" not in lines

    def delayed(self):
        return self.output.read_text().count("(DELAYED)")

    def end(self):
        self.process.terminate()
        self.process.wait(20)


@pytest.fixture
def slow(tmp_path):
    if not shutil.which("strace"):
        pytest.skip("needs strace")
    running = []

    def begin(server, call, paths):
        running.append(SlowCalls(server, call, paths, tmp_path / "strace"))
        return running[-1]

    yield begin
    for calls in running:
        calls.end()


def test_slow_disk__a_write_of_the_journal_that_takes_seconds_holds_up_only_who_waits_for_it(eventbox, slow):
    """While a record waits for its sync, health, users and records that are there already are served."""
    eventbox.kcat("-P", "-t", "slowly", "-p", "0", stdin="before\n")
    assert eventbox.register("early").status == 201
    calls = slow(eventbox, "pwritev", sorted((eventbox.data / "journal").glob("0*")))
    outcome, rounds = [], 0
    producer = Producer({"bootstrap.servers": eventbox.bootstrap, "acks": "all", "linger.ms": 0})
    producer.produce("slowly", "after", partition=0, on_delivery=lambda error, message: outcome.append(error))
    while not outcome:
        assert request(eventbox.users, "GET", "/healthz").status == 200
        assert [user["username"] for user in eventbox.user_service("GET", "/users/").json] == ["early"]
        seen = eventbox.consume("slowly", "%s\n").split()
        producer.poll(0.1)
        if not outcome:  # the record was under way all the time
            assert seen == ["before"], "nobody sees a record before its sync"
            rounds += 1
    assert outcome == [None]
    assert rounds > 0, "something else waited for the disk"
    calls.end()
    assert calls.delayed() > 0
    assert eventbox.consume("slowly", "%s\n").split() == ["before", "after"]
