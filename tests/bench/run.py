"""The figures of the README: eventbox, and beside it Apache Kafka, in one run and in turns.

usage: tests/bench/run [--kafka HOST:PORT] [--kafka-start COMMAND] [--rounds 3] [--calm 1] [--quick]
                       [--only NAME,...]

--only takes names of rows (tests/bench/README.md lists them) or what stands before a dash in several of
them. --kafka names a broker that runs already, on this machine; --kafka-start is the command that starts
the same one again in the foreground, for the rows that kill it.

Medians over the rounds. CPU is user and system time of the server process per million
records, requests or answers. Everything runs on loopback with the release binary; nothing is asserted.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests/bench")]
os.environ.setdefault("EVENTBOX_BINARY", str(ROOT / "build/src/main/eventbox"))

from group_rows import GROUP_ROWS  # noqa: E402
from connection_rows import ROWS as CONNECTION_ROWS  # noqa: E402
from floor_rows import floor_rows  # noqa: E402
from log_rows import ROWS, chosen, log_rows  # noqa: E402
from measure import Target, cpu_seconds, listener_pid, memory_kept, port_open, rss_mib  # noqa: E402
from support.server import Eventbox, request, wait_for  # noqa: E402

ROWS += GROUP_ROWS

ROWS.extend(CONNECTION_ROWS)


def start_ms(server):
    """From exec until all four ports take connections."""
    begun = time.monotonic()
    server.spawn()
    for port in (server.users, server.notify, server.external, server.internal):
        while not port_open(port):
            assert time.monotonic() - begun < 20, server.log()
            time.sleep(0.0002)
    return (time.monotonic() - begun) * 1000


def start_rows(folder, rounds):
    first, again, idle = [], [], []
    for i in range(max(rounds, 5)):
        server = Eventbox(folder / f"start{i}")
        first.append(start_ms(server))
        wait_for(server.is_ready, what="readiness")
        server.stop()
        again.append(start_ms(server))
        wait_for(server.is_ready, what="readiness")
        time.sleep(1)
        idle.append(rss_mib(server.process.pid))
        server.stop()
    stripped = folder / "stripped"
    subprocess.run(["strip", "-o", stripped, os.environ["EVENTBOX_BINARY"]], check=True)
    return {
        ("start, new folder", "eventbox"): {"ms": first},
        ("start, existing folder", "eventbox"): {"ms": again},
        ("idle memory", "eventbox"): {"MiB": idle},
        ("binary, stripped", "eventbox"): {"MB": [stripped.stat().st_size / 1e6]},
    }


def wrk(url, seconds, *extra):
    done = subprocess.run(["wrk", "-t1", "-c64", f"-d{seconds}s", *extra, url], capture_output=True, text=True)
    return float(re.search(r"Requests/sec:\s+([\d.]+)", done.stdout).group(1))


def rest_rows(server, rounds, seconds):
    results = {}
    assert server.register("bench").status == 201
    pid = server.process.pid
    for _ in range(rounds):
        before = cpu_seconds(pid)
        rate = wrk(f"http://127.0.0.1:{server.users}/users/1", seconds)
        row = results.setdefault(("GET /users/{id}, 64 connections", "eventbox"), {})
        row.setdefault("rate", []).append(rate)
        row.setdefault("cpu", []).append((cpu_seconds(pid) - before) * 1e6 / (rate * seconds))
    rates, health = registrations(server, seconds * 2)
    results[("registrations, 16 connections", "eventbox")] = {"rate": [rates]}
    results[("/healthz meanwhile", "eventbox")] = {"p99_ms": [health]}
    return results


def registrations(server, seconds):
    """POST /users/ from 16 connections; and the p99 of /healthz beside it."""
    stop, done, lock, samples = time.monotonic() + seconds, [0], threading.Lock(), []

    def worker(n):
        connection, i = http.client.HTTPConnection("127.0.0.1", server.users), 0
        while time.monotonic() < stop:
            i += 1
            name = f"b{n}x{i}x{int(stop)}"
            connection.request(
                "POST",
                "/users/",
                json.dumps({"username": name, "email": f"{name}@example.com", "password": "SecurePass123"}),
                {"content-type": "application/json"},
            )
            answer = connection.getresponse()
            answer.read()
            with lock:
                done[0] += answer.status == 201

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    while time.monotonic() < stop:
        begun = time.monotonic()
        request(server.users, "GET", "/healthz")
        samples.append((time.monotonic() - begun) * 1000)
        time.sleep(0.01)
    for thread in threads:
        thread.join()
    return done[0] / seconds, sorted(samples)[len(samples) * 99 // 100]


UNITS = {
    "rate": "/s",
    "cpu": "CPU s/million",
    "client": "of the client",
    "cpu_ms": "ms of CPU",
    "create_s": "s to create",
    "cpu_us": "us of CPU each",
    "cpu_s_gib": "CPU s/GiB",
    "p50_us": "us p50",
    "p99_us": "us p99",
    "p50_ms": "ms p50",
    "p99_ms": "ms p99",
    "ms": "ms",
    "MiB": "MiB",
    "peak_MiB": "MiB",
    "idle_MiB": "MiB idle",
    "load_MiB": "MiB under load",
    "after_MiB": "MiB 20 s later",
    "MB": "MB",
    "bytes": "B a connection",
    "open_s": "s to open all",
}


def show(results):
    width = max((len(row) for row, _ in results), default=0) + 2
    print(f"\n{'':{width}}{'':10}  medians (of so many)")
    for (row, target), figures in results.items():
        text = ", ".join(
            f"{statistics.median(v):,.{0 if statistics.median(v) >= 100 else 2}f} {UNITS[k]}"
            for k, v in figures.items()
        )
        rounds = max((len(v) for v in figures.values()), default=0)
        print(f"{row:{width}}{target:10}  {text or 'not measured'} ({rounds})")


class Settings:
    """What the rows need to know."""

    def __init__(self, given, folder):
        self.only, self.rounds, self.folder = given.only.split(","), given.rounds, folder
        self.scale = 0.1 if given.quick else 1
        self.calm = given.calm
        self.kafka_start, self.kafka_partitions = given.kafka_start, given.kafka_partitions
        self.begun = time.monotonic()

    def remove(self, folder):
        shutil.rmtree(folder, ignore_errors=True)

    def progress(self, name):
        print(f"{time.monotonic() - self.begun:6.0f} s  {name}", file=sys.stderr, flush=True)


def parse():
    options = argparse.ArgumentParser()
    options.add_argument("--kafka", help="HOST:PORT of a Kafka broker to measure in turns")
    options.add_argument("--kafka-start", help="command that starts it again after a kill")
    options.add_argument("--kafka-partitions", type=int, default=10000, help="rows with more leave it out")
    options.add_argument("--kafka-pid", type=int, help="of the broker, where its port does not tell")
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--calm", type=float, default=1, help="percent of the time that the host may take")
    options.add_argument("--quick", action="store_true", help="a tenth of everything")
    options.add_argument("--only", default="floor,start,rest," + ",".join(row.name for row in ROWS))
    given = options.parse_args()
    for name in given.only.split(","):
        if name not in ("floor", "start", "rest") and not chosen([name]):
            options.error(f"no row {name}; there are floor, start, rest, {', '.join(row.name for row in ROWS)}")
    return given


def main():
    given = parse()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="eventbox-bench-"))
    settings, results, server = Settings(given, folder), {}, None
    try:
        if "floor" in settings.only:
            results.update(floor_rows(folder, given.rounds, settings.scale, settings.progress))
        if "start" in settings.only:
            results.update(start_rows(folder, given.rounds))
        server = Eventbox(folder / "data", args=["--log_level=warn"], own_session=True)
        server.start()
        targets = [Target("eventbox", server.bootstrap, server.process.pid, server.data)]
        if given.kafka:
            pid = given.kafka_pid or listener_pid(int(given.kafka.rsplit(":", 1)[1]))
            targets.append(Target("kafka", given.kafka, pid))
        log_rows(targets, settings, results)
        if "rest" in settings.only:
            results.update(rest_rows(server, given.rounds, 2 if given.quick else 5))
        server.stop()
    finally:
        show(results)
        if server and server.process and server.process.poll() is None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    with memory_kept():
        main()
