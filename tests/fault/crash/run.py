"""Kills the server again and again under mixed load, then lets the checker look.

usage: python -m fault.crash.run [--kills N] [--binary PATH] [--seed S] [--keep DIR]   (from tests/)

A kill comes at a random moment, but never before 1,000 operations were acknowledged since the last
one. Prints one line a kill and the verdict; exit code 1 when the checker finds anything.
"""

import argparse
import multiprocessing
import os
import pathlib
import random
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from fault.crash import checker, load  # noqa: E402
from support.peers.sendgrid import SendGrid  # noqa: E402
from support.server import Eventbox, wait_for  # noqa: E402

ACKED_BETWEEN_KILLS = 1000
TOPIC, GROUP = "crash", "crash-group"


def start_clients(folder, acked, stop, server):
    """The mixed load: three producers (two idempotent), two group members, two REST writers."""
    jobs = [
        (load.produce, "idem-a", (server.bootstrap, TOPIC, "idem-a", True, "all")),
        (load.produce, "idem-b", (server.bootstrap, TOPIC, "idem-b", True, "all")),
        (load.produce, "plain", (server.bootstrap, TOPIC, "plain", False, "1")),
        (load.consume, "member-a", (server.bootstrap, TOPIC, GROUP)),
        (load.consume, "member-b", (server.bootstrap, TOPIC, GROUP)),
        (load.rest, "rest-a", (server.users, "resta")),
        (load.rest, "rest-b", (server.users, "restb")),
    ]
    processes = []
    for function, name, arguments in jobs:
        process = multiprocessing.Process(target=function, args=(folder / f"{name}.history", acked, stop, *arguments))
        process.start()
        processes.append(process)
    return processes


def settle(server):
    """Wait until every mail has its outcome and the relay has nothing left."""

    def settled():
        rows = checker.all_notifications(server.notify)
        users = len(checker.all_users(server.users))
        done = [d for n in rows for d in n["deliveries"] if d["state"] in ("sent", "in_doubt", "failed", "dead")]
        return users and len(done) == users

    wait_for(settled, 60, "the outcome of every mail")


def check(folder, server, mails):
    histories = {p.stem: checker.read_history(p) for p in sorted(folder.glob("*.history"))}
    found = checker.drain(server.bootstrap, TOPIC)
    problems = checker.check_offsets_unique(found)
    for name in ("idem-a", "idem-b", "plain"):
        problems += checker.check_records(name, histories[name], found, name.startswith("idem"))
    commits = histories["member-a"] + histories["member-b"]
    problems += checker.check_commits(server.bootstrap, TOPIC, GROUP, latest_commits(commits))
    more, users = checker.check_users(server.users, [histories["rest-a"], histories["rest-b"]])
    problems += more + checker.check_events(server.bootstrap, server.users)
    more, doubts = checker.check_mails(server.notify, server.users, mails)
    problems += more
    records = sum(1 for h in histories.values() for e in h if e["kind"] == "ok")
    print(f"{records} acknowledged operations, {len(users)} users, {len(mails)} mails, {doubts} in doubt")
    return problems


def latest_commits(entries):
    """Commits of a partition rise, whoever makes them: demand the highest acknowledged one."""
    best = {}
    for entry in entries:
        if entry["kind"] == "ok":
            best[entry["partition"]] = max(best.get(entry["partition"], 0), entry["offset"])
    return [{"kind": "ok", "partition": p, "offset": o} for p, o in best.items()]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--kills", type=int, default=100)
    options.add_argument("--binary")
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--keep")
    given = options.parse_args()
    if given.binary:
        os.environ["EVENTBOX_BINARY"] = given.binary
    random.seed(given.seed)
    folder = pathlib.Path(given.keep or tempfile.mkdtemp(prefix="eventbox-crash-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed}, {folder}", flush=True)

    sendgrid = SendGrid()
    server = Eventbox(
        folder / "data",
        env={"SENDGRID_API_KEY": "SG.test", "SENDGRID_FROM": "no-reply@example.com"},
        args=[f"--notify.sendgrid_url={sendgrid.url}"],
    )
    server.start()
    acked = multiprocessing.Value("q", 0)
    stop = multiprocessing.Event()
    clients = start_clients(folder, acked, stop, server)
    begun = time.monotonic()
    try:
        for kill in range(1, given.kills + 1):
            before = acked.value
            wait_for(lambda: acked.value - before >= ACKED_BETWEEN_KILLS, 60, "1,000 acknowledged operations")
            time.sleep(random.uniform(0, 0.7))
            operations = acked.value - before
            server.kill()
            restart = time.monotonic()
            server.start()
            print(
                f"kill {kill}: {operations} operations, back after {(time.monotonic() - restart) * 1000:.0f} ms",
                flush=True,
            )
        before = acked.value
        wait_for(lambda: acked.value - before >= ACKED_BETWEEN_KILLS, 60, "operations after the last kill")
    finally:
        stop.set()
        for client in clients:
            client.join(150)
            if client.is_alive():
                client.kill()
                print("a client did not end", flush=True)
    try:
        settle(server)
        problems = check(folder, server, sendgrid.recipients())
        server.close()
    finally:
        if server.process.poll() is None:
            server.kill()
        sendgrid.close()
    for line in problems[:40]:
        print(line)
    print(
        f"{given.kills} kills in {time.monotonic() - begun:.0f} s: "
        + (f"{len(problems)} violations" if problems else "no violation")
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
