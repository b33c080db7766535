"""The figures of the README: eventbox, and beside it any Kafka broker, in one run and in turns.

usage: tests/bench/run [--kafka HOST:PORT --kafka-pid PID] [--rounds 3] [--quick] [--only ROW,...]

Medians over the rounds. CPU is user and system time of the server process, from /proc, per million
records, requests or answers. Everything runs on loopback with the release binary; nothing is asserted.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
os.environ.setdefault("EVENTBOX_BINARY", str(ROOT / "build/src/main/eventbox"))

from support.server import Eventbox, free_ports, request, wait_for  # noqa: E402

BENCH = ROOT / "build/kafka_bench"
TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) / 1024


def bench(*arguments):
    done = subprocess.run([str(BENCH), *map(str, arguments)], capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        print("  ", done.stdout.strip(), done.stderr.strip(), file=sys.stderr)
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"p50|p99", "", done.stdout))] or [0.0]


class Target:
    """A broker under measurement."""

    def __init__(self, name, bootstrap, pid):
        self.name, self.bootstrap, self.pid, self.topics = name, bootstrap, pid, 0

    def topic(self, partitions):
        from confluent_kafka.admin import AdminClient, NewTopic

        self.topics += 1
        name = f"bench{os.getpid()}-{self.topics}"
        admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        admin.create_topics([NewTopic(name, partitions, 1)])[name].result(20)
        time.sleep(0.3)
        return name

    def measured(self, count, *arguments):
        """First figure of the client, and CPU seconds a million of the server."""
        before = cpu_seconds(self.pid)
        figures = bench(*arguments)
        return figures, (cpu_seconds(self.pid) - before) * 1e6 / count


def kafka_rows(targets, rounds, scale, only):
    """Yields (row, target, {figure: [values]}) with the targets in turns."""
    results = {}

    def add(row, target, **figures):
        for name, value in figures.items():
            results.setdefault((row, target.name), {}).setdefault(name, []).append(value)

    for turn in range(rounds):
        for target in targets:
            for size, count in ((100, int(2_000_000 * scale)), (1024, int(500_000 * scale))):
                row = f"{size} B"
                topic = target.topic(6)
                if "produce" in only:
                    figures, cpu = target.measured(count, "produce", target.bootstrap, topic, count, size, "none")
                    add(f"produce {row}, six partitions, acks=all", target, rate=figures[0], cpu=cpu)
                if "consume" in only and "produce" in only:
                    figures, cpu = target.measured(count, "consume", target.bootstrap, topic, count)
                    add(f"consume {row}", target, rate=figures[0], cpu=cpu)
            if "pipeline" in only:
                count = int(300_000 * scale)
                figures, cpu = target.measured(count, "pipeline", target.bootstrap, target.topic(1), count, 100, 64)
                add("one record a request, 64 in flight", target, rate=figures[0], cpu=cpu)
            if "latency" in only:
                for rate in (1000, 10000):
                    figures = bench("latency", target.bootstrap, target.topic(1), rate, max(2, int(5 * scale)))
                    add(f"produce to consume at {rate}/s", target, p50_ms=figures[0] / 1000, p99_ms=figures[1] / 1000)
        print(f"round {turn + 1} of {rounds} done", file=sys.stderr)
    return results


def port_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


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
    "p50_ms": "ms p50",
    "p99_ms": "ms p99",
    "ms": "ms",
    "MiB": "MiB",
    "MB": "MB",
}


def show(results):
    print(f"\n{'':44}{'':12}  medians")
    for (row, target), figures in results.items():
        text = ", ".join(
            f"{statistics.median(v):,.{0 if statistics.median(v) >= 100 else 2}f} {UNITS[k]}"
            for k, v in figures.items()
        )
        print(f"{row:44}{target:12}  {text}")


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--kafka", help="HOST:PORT of a Kafka broker to measure in turns")
    options.add_argument("--kafka-pid", type=int)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--only", default="start,rest,produce,consume,pipeline,latency")
    given = options.parse_args()
    only = given.only.split(",")
    scale = 0.1 if given.quick else 1
    folder = pathlib.Path(tempfile.mkdtemp(prefix="eventbox-bench-"))
    results = {}
    try:
        if "start" in only:
            results.update(start_rows(folder, given.rounds))
        server = Eventbox(folder / "data", args=["--log_level=warn"]).start()
        targets = [Target("eventbox", server.bootstrap, server.process.pid)]
        if given.kafka:
            targets.append(Target("kafka", given.kafka, given.kafka_pid))
        results.update(kafka_rows(targets, given.rounds, scale, only))
        results[("memory after the load", "eventbox")] = {"MiB": [rss_mib(server.process.pid)]}
        if given.kafka:
            results[("memory after the load", "kafka")] = {"MiB": [rss_mib(given.kafka_pid)]}
        if "rest" in only:
            results.update(rest_rows(server, given.rounds, 2 if given.quick else 5))
        server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    show(dict(sorted(results.items(), key=lambda item: item[0][0])))


if __name__ == "__main__":
    main()
