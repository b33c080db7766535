"""The release binary under system calls that fail: one run for each call, error and place.

strace makes the N-th call of a kind fail, in every thread by itself, while a stock client produces. Each
run demands: no crash (an exit that says why is fine), and after a clean start every acknowledged record at
its offset. Short counts are not injected here: strace would leave out the whole call and lie about it;
tests/unit/loop/test_disk_interrupts.c has them.
"""

import argparse
import pathlib
import random
import shutil
import sys
import tempfile
import time

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from support.server import Eventbox

CALLS = ["pwritev", "pwrite64", "pread64", "fdatasync", "fsync", "syncfs", "fallocate", "ftruncate", "openat"]
CALLS += ["renameat", "unlinkat", "mkdirat", "fstatfs", "getdents64"]
ERRORS = ["EINTR", "EIO", "ENOSPC"]
TOPIC = "swept"


class Traced(Eventbox):
    """The server, with strace beside it as a grandchild: the process is the server's own."""

    inject = None

    def command(self):
        command = super().command()
        if not self.inject:
            return command
        call, error, first = self.inject
        rule = f"{call}:error={error}:when={first}" + ("+4" if error == "EINTR" else "")
        return ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={rule}"] + command


def produce(server, rounds):
    """Records in rounds, each waited for; {(partition, offset): value} of what was acknowledged."""
    acked = {}
    settings = {"bootstrap.servers": server.bootstrap, "acks": "all", "message.timeout.ms": 3000, "linger.ms": 0}
    producer = Producer({**settings, "retry.backoff.ms": 50, "log_level": 0})

    def delivered(error, message):
        if not error:
            acked[message.partition(), message.offset()] = message.value()

    for n in range(rounds):
        for i in range(20):
            value = f"{n}-{i}-".encode() + b"x" * random.randrange(2000)
            producer.produce(TOPIC, value, key=str(i), on_delivery=delivered)
        producer.flush(5)
        if server.process.poll() is not None:
            break
    producer.purge()
    producer.flush(1)
    return acked


def consume(server, partitions):
    """Everything there is, as produce() tells it."""
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


def end(server):
    code = server.process.poll()
    code = server.stop(60) if code is None else code
    if code < 0 or code >= 128:
        raise AssertionError(f"ended with {code}:\n{server.log()[-3000:]}")
    return code


def run(folder, inject, rounds):
    """One run; how many records were acknowledged, and whether the server lived on."""
    server = Traced(folder, modules="broker")
    server.start()  # a folder that exists: its start is swept too
    produce(server, 2)
    server.kill()
    server.inject = inject
    acked, lived = {}, False
    try:
        server.start(20)
        acked = produce(server, rounds)
        lived = server.process.poll() is None
    except AssertionError:
        if server.process.poll() is None:
            server.kill()  # it waits for ever: a start that is refused must end
            raise
    end(server)
    server.inject = None
    server.start()
    found = consume(server, sorted({p for p, _ in acked}))
    lost = [at for at, value in acked.items() if found.get(at) != value]
    if lost:
        raise AssertionError(f"{len(lost)} acknowledged records are lost, the first at {min(lost)}")
    if end(server) != 0:
        raise AssertionError("the stop after a clean start tells of an error")
    return len(acked), lived


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--places", type=int, default=2, help="places for each call and error")
    parser.add_argument("--rounds", type=int, default=10, help="rounds of 20 records in each run")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--call", action="append", choices=CALLS, help="these calls alone")
    options = parser.parse_args()
    random.seed(options.seed)
    begin, failures, total = time.monotonic(), [], 0
    for call in options.call or CALLS:
        for error in ERRORS:
            for place in range(options.places):
                first = 1 + random.randrange(3 + 12 * place)
                folder = pathlib.Path(tempfile.mkdtemp(prefix="eventbox-sweep-"))
                total += 1
                try:
                    count, lived = run(folder / "data", (call, error, first), options.rounds)
                    print(f"{call} {error} from {first}: {count} acknowledged, {'went on' if lived else 'ended'}")
                    shutil.rmtree(folder)
                except Exception as problem:
                    failures.append(f"{call} {error} from {first}: {problem} ({folder})")
                    print(failures[-1], flush=True)
    took = time.monotonic() - begin
    print(f"{total} runs in {took:.0f} s: {len(failures) or 'no'} violation{'s' if len(failures) != 1 else ''}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
