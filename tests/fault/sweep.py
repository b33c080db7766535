"""The release binary under system calls that fail: one run for each call, outcome and place.

strace makes the N-th call of a kind fail, in every thread by itself, while stock clients produce and register. A first
run without failures counts the calls of each thread, so that places are chosen among those that are made. A run begins
on a folder that a kill has left, on a new one, or on one whose checkpoints are gone. Each demands: no crash (an exit
that says why is fine, and so is a /readyz that does), and after a clean start every acknowledged record at its offset
and every registered user. After a failed sync or write of the log (EIO) the server must say so and acknowledge no
record more: what the sync did not do cannot be seen in the files. A call that no run of it met fails the sweep.

Outcome 0 is the one short count that strace can tell truly, since it leaves out the whole call: nothing was written,
sent, or the peer is gone. tests/unit/loop/test_disk_interrupts.c has the others. Not here: preadv2 and cachestat, which
only guess whether a read would wait for the disk.
"""

import argparse
import collections
import concurrent.futures
import os
import pathlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from support.server import Eventbox, wait_for

DISK = ["EINTR", "EIO", "ENOSPC"]
OUTCOMES = {
    # Files of the log (pwritev, fdatasync ...), of the database (pwrite64, fsync, fcntl for its locks), of the folder.
    "pwritev": [*DISK, "0"],
    "pwrite64": [*DISK, "0"],
    **dict.fromkeys(["pread64", "fdatasync", "fsync", "syncfs", "fallocate", "ftruncate", "openat"], DISK),
    **dict.fromkeys(["renameat", "rename", "unlinkat", "unlink", "mkdirat"], ["EIO", "ENOSPC"]),
    **dict.fromkeys(["fstatfs", "newfstatat"], ["EIO", "ENOMEM"]),
    **dict.fromkeys(["getdents64", "flock", "fcntl"], ["EIO", "EINTR"]),
    # Sockets.
    "accept4": ["EINTR", "EMFILE", "ECONNABORTED"],
    "recvfrom": ["EINTR", "ECONNRESET", "0"],
    "sendmsg": ["EINTR", "ECONNRESET", "ENOBUFS", "0"],
    "sendfile": ["EINTR", "EIO", "ECONNRESET", "0"],
    "epoll_ctl": ["ENOMEM", "ENOSPC"],
    "epoll_wait": ["EINTR"],
    # Wake-ups, the console, threads, memory, randomness, what a start needs.
    "read": ["EINTR", "EIO"],
    "write": ["EINTR", "EIO", "ENOSPC", "EAGAIN"],
    "clone3": ["EAGAIN"],
    "mmap": ["ENOMEM"],
    "getrandom": ["EINTR"],
    **dict.fromkeys(["socket", "bind", "listen", "eventfd2", "pipe2", "epoll_create1"], ["EMFILE"]),
}
TOPIC = "swept"
STARTS = ["killed", "new", "no checkpoints"]
CONSOLE_ONLY = ["write"]  # the others of its kind wake the loop, as "read" is what it wakes by
ABORTS = ["epoll_ctl", "pipe2", "read"]  # where libuv ends the process: the loop's own descriptors
FIRST_PLACE = {"mmap": 2}  # the first is made by the dynamic loader, which crashes without a word in every program
LONG = ["unlinkat"]  # files go when two checkpoints know that nobody needs them


class Traced(Eventbox):
    """The server, with strace beside it as a grandchild: the process is the server's own."""

    calls, rule = None, None

    def trace(self, calls, rule=None):
        self.calls, self.rule = calls, rule

    @property
    def trace_path(self):
        return self.data.parent / "strace"

    def command(self):
        command = super().command()
        if not self.calls:
            return command
        inject = ["-e", f"inject={self.rule}"] if self.rule else []
        traced = ["-e", "trace=" + ",".join(self.calls)]
        if self.calls == CONSOLE_ONLY:
            traced += ["-P", str(self.log_path)]
        return ["strace", "-D", "-f", "-qq", "-y", "-s", "0", "-o", str(self.trace_path), *traced, *inject, *command]

    def injected(self):
        return self.trace_path.read_text(errors="replace").count("(INJECTED)")

    def lost_a_sync(self):
        """A sync or write of the log's files has failed, and not for want of room."""
        failed = r"(f?sync|fdatasync|syncfs|pwritev)\(\d+<[^>]*/data(/(journal|topics|checkp)[^>]*)?>.*EIO .*INJECTED"
        return re.search(failed, self.trace_path.read_text(errors="replace"))

    def says_it_failed(self):
        """A part has failed for good, and /readyz names it. (SQLite takes an interrupted sync for a failed one.)"""
        try:
            return '"state":"failed"' in self.user_service("GET", "/readyz").raw.decode()
        except OSError:
            return False

    def start_swept(self):
        """Until it is ready, has ended, or says what has failed."""
        self.spawn()
        wait_for(lambda: self.is_ready() or self.process.poll() is not None or self.says_it_failed(), what="readiness")


class Acked:
    """What the server has acknowledged."""

    def __init__(self):
        self.records = {}  # (partition, offset): value
        self.users = {}  # id: name

    def __len__(self):
        return len(self.records) + len(self.users)


def load(server, rounds, chance, long=False):
    """Records and registrations in rounds, each waited for; what was acknowledged."""
    acked = Acked()
    if long:
        remove_a_topic(server)
    settings = {"bootstrap.servers": server.bootstrap, "acks": "all", "message.timeout.ms": 3000, "linger.ms": 0}
    producer = Producer({**settings, "retry.backoff.ms": 50, "log_level": 0})

    def delivered(error, message):
        if not error:
            acked.records[message.partition(), message.offset()] = message.value()

    for n in range(rounds):
        for i in range(20):
            value = f"{n}-{i}-".encode() + b"x" * chance.randrange(2000)
            producer.produce(TOPIC, value, key=str(i), on_delivery=delivered)
        producer.flush(5)
        register(server, acked, f"swept_{chance.getrandbits(60)}")
        if n % 4 == 3:
            read_some(server)
        if server.process.poll() is not None:
            break
    producer.purge()
    producer.flush(1)
    return acked


def remove_a_topic(server):
    """Make one and delete it, and wait for the end of its files or of the server, or for the failure: what cannot be
    removed waits for the next start."""
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    producer = Producer({"bootstrap.servers": server.bootstrap, "message.timeout.ms": 10000, "log_level": 0})
    logs = lambda: [p for p in server.data.glob("topics/*/*.log") if b"the record" in p.read_bytes()]  # noqa: E731
    try:
        producer.produce("passing", b"the record")
        producer.flush(10)
        log = wait_for(logs, what="its segment")[0]
        admin.delete_topics(["passing"])["passing"].result(10)
        ended = lambda: server.injected() or server.process.poll() is not None  # noqa: E731
        wait_for(lambda: not log.parent.exists() or ended(), 60, "the removal")
    except KafkaException:
        pass  # the server failed or ended; what it acknowledged is looked at in the end
    producer.purge()
    producer.flush(1)


def register(server, acked, name):
    try:
        answer = server.register(name)
    except OSError:
        return  # nothing was acknowledged
    if answer.status == 201:
        acked.users[answer.json["id"]] = name


def read_some(server):
    """So that what serves readers is swept too; what comes is looked at after the clean start."""
    settings = {"bootstrap.servers": server.bootstrap, "group.id": "reader", "auto.offset.reset": "earliest"}
    consumer = Consumer({**settings, "enable.auto.commit": False, "log_level": 0})
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in range(4)])
    consumer.consume(50, 0.5)
    consumer.close()


def consume(server, partitions):
    """Every record that there is, as load() tells it."""
    found = {}
    settings = {"bootstrap.servers": server.bootstrap, "group.id": "sweep", "enable.partition.eof": False}
    consumer = Consumer({**settings, "enable.auto.commit": False, "log_level": 0})
    ends = {}
    for p in partitions:
        ends[p] = consumer.get_watermark_offsets(TopicPartition(TOPIC, p), timeout=10)[1]
    consumer.assign([TopicPartition(TOPIC, p, 0) for p in partitions])
    deadline = time.monotonic() + 30
    while any((p, end - 1) not in found for p, end in ends.items() if end > 0):
        message = consumer.poll(1)
        if message and message.error():
            raise KafkaException(message.error())
        if message:
            found[message.partition(), message.offset()] = message.value()
        if time.monotonic() > deadline:
            raise AssertionError("the log cannot be read to its end")
    consumer.close()
    return found


def end(server, allowed=None):
    code = server.process.poll()
    code = server.stop(60) if code is None else code
    if (code < 0 or code >= 128) and code != allowed:
        raise AssertionError(f"ended with {code}:\n{server.log()[-3000:]}")
    return code


def check(server, acked):
    found = consume(server, sorted({p for p, _ in acked.records}))
    lost = [at for at, value in acked.records.items() if found.get(at) != value]
    if lost:
        raise AssertionError(f"{len(lost)} acknowledged records are lost, the first at {min(lost)}")
    for number, name in acked.users.items():
        answer = server.user_service("GET", f"/users/{number}")
        if answer.status != 200 or answer.json["username"] != name:
            raise AssertionError(f"user {number} is lost: {answer}")


def prepare(server, start, chance):
    """The folder that the swept start meets; what was acknowledged in it."""
    if start == "new":
        return Acked()
    server.start()
    acked = load(server, 2, chance)
    server.kill()
    if start == "no checkpoints":
        for n in (0, 1):
            (server.data / f"checkpoint.{n}").unlink(missing_ok=True)
    return acked


def run(folder, calls, rule, start, rounds, seed):
    """One run; what was acknowledged, whether the server lived on, how often the rule was met."""
    chance = random.Random(seed)
    server = Traced(folder / "data")
    before = prepare(server, start, chance)
    server.trace(calls, rule)
    acked, lived = Acked(), False
    try:
        server.start_swept()
        if server.process.poll() is None:
            acked = load(server, rounds, chance, calls == LONG)
        lived = server.process.poll() is None
        if lived and rule and server.lost_a_sync():
            wait_for(lambda: '"action":"log_failed"' in server.log(), what="the log to say that it has failed")
            if load(server, 1, chance).records:
                raise RuntimeError("records are acknowledged after a failed sync")
    except AssertionError:
        if server.process.poll() is None:
            server.kill()  # it waits for ever: a start that is refused must end
            raise
    end(server, -signal.SIGABRT if calls[0] in ABORTS else None)
    met = server.injected() if rule else 0
    server.trace(None)
    server.start()
    acked.users.update(before.users)
    acked.records.update(before.records)
    check(server, acked)
    if end(server) != 0:
        raise AssertionError("the stop after a clean start tells of an error")
    return len(acked), lived, met


def count_calls(start, rounds):
    """{call: how often each thread makes it, by threads that do} of a run in which nothing fails."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="eventbox-sweep-"))
    run(folder, list(OUTCOMES), None, start, rounds, 0)
    counts = collections.defaultdict(collections.Counter)
    for line in (folder / "strace").read_text(errors="replace").splitlines():
        made = re.match(r"(\d+) +(\w+)\(", line)
        if made:
            counts[made[2]][made[1]] += 1
    shutil.rmtree(folder)
    return {call: list(threads.values()) for call, threads in counts.items()}


def plan(options, chance):
    """(call, outcome, place, start) of each run: early places, and any in the life of some thread."""
    counts = {start: count_calls(start, options.rounds) for start in STARTS}
    for call in options.call or OUTCOMES:
        for i, outcome in enumerate(OUTCOMES[call]):
            for n in range(options.places):
                start = STARTS[(i + n) % len(STARTS)]
                start = start if call in counts[start] else next((s for s in STARTS if call in counts[s]), start)
                most = chance.choice(counts[start].get(call, [1]))
                place = 1 + chance.randrange(min(most, 3) if n == 0 else most)
                yield call, outcome, max(place, FIRST_PLACE.get(call, 1)), start


def attempt(call, outcome, first, start, rounds, seed):
    """A line about one run, how often its rule was met, and whether it is a violation."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="eventbox-sweep-"))
    what = "retval=0" if outcome == "0" else f"error={outcome}"
    rule = f"{call}:{what}:when={first}" + ("+4" if outcome == "EINTR" else "")
    try:
        count, lived, met = run(folder, [call], rule, start, rounds, seed)
        shutil.rmtree(folder)
        return f"{count} acknowledged, met {met} times, {'went on' if lived else 'ended'}", met, False
    except Exception as problem:  # noqa: BLE001 - whatever it is, the run is a violation
        return f"VIOLATION {problem} ({folder})", 1, True


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--places", type=int, default=2, help="places for each call and outcome")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of 20 records in each run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs at a time")
    parser.add_argument("--call", action="append", choices=list(OUTCOMES), help="these calls alone")
    options = parser.parse_args()
    begin, violations, met = time.monotonic(), 0, collections.Counter()
    runs = list(plan(options, random.Random(options.seed)))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        tasks = [pool.submit(attempt, *what, options.rounds, options.seed + n) for n, what in enumerate(runs)]
        for (call, outcome, first, start), task in zip(runs, tasks):
            line, times, bad = task.result()
            print(f"{call} {outcome} from {first}, {start}: {line}", flush=True)
            met[call] += times
            violations += bad
    for call in sorted({call for call, *_ in runs if not met[call]}):
        print(f"VIOLATION no run met {call}")
        violations += 1
    print(f"{len(runs)} runs in {time.monotonic() - begin:.0f} s: {violations or 'no'} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
