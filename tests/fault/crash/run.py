"""Kills the server again and again under mixed load, then lets the checker look.

usage: python -m fault.crash.run [--kills N] [--binary PATH] [--seed S] [--keep DIR]
                                 [--acked N] [--mail-ms N] [--power ext4|xfs]         (from tests/)

A kill comes at a random moment, but never before 1,000 operations (--acked) were acknowledged since
the last one. Mails are answered after a random time of up to 50 ms (--mail-ms), so that kills meet
sends in flight. Prints one line a kill and the verdict. With --power the data lies on a file system of its own, whose
power is cut at each of these moments before the server is killed (cutdisk.py; root).

Exit code: 0 no violation, 1 the checker found violations, 2 the run proves nothing: a client or the
harness failed, or there was nothing to look at; 3 this machine cannot cut the power of a file system.
"""

import argparse
import contextlib
import faulthandler
import multiprocessing
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from fault.crash import checker, load  # noqa: E402
from fault.crash.cutdisk import CutDisk, missing  # noqa: E402
from support.peers.sendgrid import SendGrid  # noqa: E402
from support.server import Eventbox, wait_for  # noqa: E402

TOPIC, GROUP = "crash", "crash-group"
MAIL_PAUSE_S = 0.02  # between two POST /notifications of a client
SCRAPE_PAUSE_S = 0.05  # between two looks at the metrics
PATIENCE_S = 180  # with work that should come to its end: against hanging, never a measure of speed
QUIET_S = 10  # no mail comes to its end for so long: it never will


def run_client(stack, function, *arguments):
    """A client's process: SIGUSR1 makes it write where it stands, even inside a call of its library."""
    with open(stack, "w") as file:
        faulthandler.register(signal.SIGUSR1, file, all_threads=True)
        function(*arguments)


def threads_of(pid):
    """What each thread of a process waits in: a line each."""
    for thread in sorted(pathlib.Path(f"/proc/{pid}/task").iterdir()):
        with contextlib.suppress(OSError):  # it ends meanwhile
            yield f"  {(thread / 'comm').read_text().strip()}: {(thread / 'wchan').read_text()}"


class Clients:
    """The processes of the load; the server is killed under them, they are not."""

    def __init__(self, folder):
        self.folder = folder
        self.acked = multiprocessing.Value("q", 0)
        self.stop = multiprocessing.Event()
        self.processes = []

    def add(self, function, name, *arguments):
        path, stack = self.folder / f"{name}.history", self.folder / f"{name}.stack"
        process = multiprocessing.Process(
            target=run_client, name=name, args=(stack, function, path, self.acked, self.stop, *arguments)
        )
        process.start()
        self.processes.append(process)

    def wait_acked(self, count):
        """Wait until count more operations were acknowledged; how many it were then."""
        before = self.acked.value
        wait_for(lambda: self.acked.value - before >= count, PATIENCE_S, f"{count} acknowledged operations")
        return self.acked.value - before

    def wait_each(self):
        """Wait until each had something acknowledged, of the members of the group one: else the run would be void."""

        def idle():
            histories = {p.name: checker.read_history(self.folder / f"{p.name}.history", True) for p in self.processes}
            done = {name for name, history in histories.items() if any(e["kind"] == "ok" for e in history)}
            return {"a member" if name.startswith("member") else name for name in histories.keys() - done} - {
                "a member" for name in done if name.startswith("member")
            }

        wait_for(lambda: not idle(), PATIENCE_S, "something acknowledged to each client")

    def end(self):
        """Stop them; the names of those that did not end as they should, and where those hang."""
        self.stop.set()
        for process in self.processes:
            process.join(PATIENCE_S)
            if process.is_alive():
                self.tell_hanging(process)
                process.kill()
                process.join()
        return [process.name for process in self.processes if process.exitcode]

    def tell_hanging(self, process):
        """Print where a client stands and what it did last: such a run cannot be had again at will."""
        stack = self.folder / f"{process.name}.stack"
        os.kill(process.pid, signal.SIGUSR1)
        with contextlib.suppress(AssertionError):
            wait_for(lambda: stack.read_text().rstrip(), 10, "a stack")
        print(f"{process.name} does not end:\n{stack.read_text()}")
        print(*threads_of(process.pid), sep="\n")
        print("its last notes:", *checker.read_history(self.folder / f"{process.name}.history")[-5:], sep="\n  ")

    def tell_standstill(self, server):
        """Print what the server and each client wait in: why no more work was acknowledged, or no start came."""
        if server.process.poll() is None:
            print("the server:", *threads_of(server.process.pid), sep="\n")
        else:
            print(f"the server ended with {server.process.returncode}")
        for process in self.processes:
            notes = (self.folder / f"{process.name}.history").read_text().splitlines()
            print(f"{process.name} {'waits' if process.is_alive() else 'has ended'}:", *notes[-1:])


def add_mixed_load(clients, server):
    """Three producers (two idempotent), two group members, two REST writers, two who ask for mails, monitoring."""
    clients.add(load.produce, "idem-a", server.bootstrap, TOPIC, "idem-a", True, "all")
    clients.add(load.produce, "idem-b", server.bootstrap, TOPIC, "idem-b", True, "all")
    clients.add(load.produce, "plain", server.bootstrap, TOPIC, "plain", False, "1")
    clients.add(load.consume, "member-a", server.bootstrap, TOPIC, GROUP)
    clients.add(load.consume, "member-b", server.bootstrap, TOPIC, GROUP)
    clients.add(load.rest, "rest-a", server.users, "resta")
    clients.add(load.rest, "rest-b", server.users, "restb")
    clients.add(load.post_mails, "mail-a", server.notify, "maila", MAIL_PAUSE_S)
    clients.add(load.post_mails, "mail-b", server.notify, "mailb", MAIL_PAUSE_S)
    clients.add(load.scrape, "monitor", server.users, SCRAPE_PAUSE_S)


def kill_and_start(server, clients, kills, acked, disk=None):
    """The kills themselves, each after acknowledged work and a random time more; with @disk power cuts."""
    for kill in range(1, kills + 1):
        operations = clients.wait_acked(acked)
        time.sleep(random.uniform(0, 0.7))
        if disk:
            server.freeze()  # power takes the processor first: nothing is acknowledged from here on
            disk.cut()
        server.kill()
        if disk:
            disk.come_back()
        restart = time.monotonic()
        server.start(PATIENCE_S)
        back_ms = (time.monotonic() - restart) * 1000
        print(f"kill {kill}: {operations} operations, back after {back_ms:.0f} ms", flush=True)
    clients.wait_acked(acked)
    clients.wait_each()


def settle(server):
    """Wait until every mail has its outcome, or until none gets one any more: then the checker says which."""
    done, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        users = {user["email"] for user in checker.all_users(server.users)}
        deliveries = checker.deliveries_by_address(server.notify)  # one look, behind that at the users
        states = [state for of in deliveries.values() for state in of]
        now = sum(state in checker.FINAL_STATES for state in states)
        if now == len(states) and users <= deliveries.keys():
            return
        if now != done:
            done, since = now, time.monotonic()
        time.sleep(0.2)


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
    posts = histories["mail-a"] + histories["mail-b"]
    more, doubts = checker.check_mails(server.notify, server.users, posts, mails)
    problems += more
    acknowledged = {name: sum(e["kind"] == "ok" for e in history) for name, history in histories.items()}
    print(
        f"{sum(acknowledged.values())} acknowledged operations, {len(users)} users, {len(mails)} mails,"
        f" {doubts} in doubt"
    )
    idle = [name for name, count in acknowledged.items() if not count and not name.startswith("member")]
    assert not idle, f"a void run: nothing of {idle}"
    assert acknowledged["member-a"] + acknowledged["member-b"], "a void run: no commit"
    assert users and mails, "a void run: no user or no mail"
    return problems


def latest_commits(entries):
    """Commits of a partition rise, whoever makes them: demand the highest acknowledged one."""
    best = {}
    for entry in entries:
        if entry["kind"] == "ok":
            best[entry["partition"]] = max(best.get(entry["partition"], 0), entry["offset"])
    return [{"kind": "ok", "partition": p, "offset": o} for p, o in best.items()]


def run(folder, kills, acked=1000, mail_ms=50, power=None):
    """One whole run in a folder; the violations. Raises when the run proves nothing."""
    disk = CutDisk(folder, power) if power else None
    try:
        return run_on(disk.mount_point if disk else folder, folder, kills, acked, mail_ms, disk)
    finally:
        if disk:
            disk.close()


def run_on(place, folder, kills, acked, mail_ms, disk):
    """The run with the server's data in @place, what the clients note in @folder."""
    sendgrid = SendGrid()
    sendgrid.slow_ms = mail_ms
    server = Eventbox(
        place / "data",
        env={"SENDGRID_API_KEY": "SG.test", "SENDGRID_FROM": "no-reply@example.com"},
        args=[f"--notify.sendgrid_url={sendgrid.url}"],
        log_path=folder / "data.log",
    )
    clients = Clients(folder)
    try:
        server.start()
        add_mixed_load(clients, server)
        try:
            kill_and_start(server, clients, kills, acked, disk)
        except Exception:
            clients.tell_standstill(server)
            raise
        finally:
            failed = clients.end()
        assert not failed, f"clients that failed or did not end: {failed}"
        settle(server)
        problems = check(folder, server, sendgrid.recipients())
        server.close()
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
        sendgrid.close()
    return problems


def report(kills, begun, problems):
    """Print the verdict; the exit code."""
    for line in problems[:40]:
        print(line)
    verdict = f"{len(problems)} violations" if problems else "no violation"
    print(f"{kills} kills in {time.monotonic() - begun:.0f} s: {verdict}")
    return 1 if problems else 0


def parse(default_kills, doc):
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=default_kills)
    options.add_argument("--binary")
    options.add_argument("--seed", type=int, default=int(time.time()))
    options.add_argument("--keep")
    return options


def begin(given):
    """The seed and the folder of a run."""
    random.seed(given.seed)
    folder = pathlib.Path(given.keep or tempfile.mkdtemp(prefix="eventbox-crash-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"seed {given.seed}, {folder}", flush=True)
    return folder


def main():
    options = parse(100, __doc__)
    options.add_argument("--acked", type=int, default=1000)
    options.add_argument("--mail-ms", type=int, default=50)
    options.add_argument("--power", choices=("ext4", "xfs"))
    given = options.parse_args()
    reason = given.power and missing(given.power)
    if reason:
        print(f"no power cuts of {given.power} on this machine: {reason}")
        return 3
    folder, begun = begin(given), time.monotonic()
    try:
        if given.binary:
            os.environ["EVENTBOX_BINARY"] = str(pathlib.Path(given.binary).resolve(strict=True))
        problems = run(folder, given.kills, given.acked, given.mail_ms, given.power)
    except Exception:  # noqa: BLE001 - whatever it is, it is not a finding about the server
        traceback.print_exc()
        print(f"the run proves nothing, after {time.monotonic() - begun:.0f} s")
        return 2
    return report(given.kills, begun, problems)


if __name__ == "__main__":
    sys.exit(main())
