"""What the rows have in common: processes and their figures, brokers under measurement, the client."""

import contextlib
import mmap
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BENCH = ROOT / "build/kafka_bench"
CPUCLOCK_SCHED = 2  # of a whole process, in nanoseconds: /proc counts in hundredths of a second


def cpu_seconds(pid):
    """User and system time of all threads, as clock_getcpuclockid(3) finds it."""
    return time.clock_gettime(~pid << 3 | CPUCLOCK_SCHED)


def wait_idle(pid, seconds=120):
    """Until a process takes less than a twentieth of a processor for half a second, or so long: files that a row
    has it make first can take long, where ext4 has just removed the thousands of the row before. Apache Kafka
    takes a hundredth or two whatever it does."""
    before, limit = cpu_seconds(pid), time.monotonic() + seconds
    while time.monotonic() < limit:
        time.sleep(0.5)
        before, used = cpu_seconds(pid), cpu_seconds(pid) - before
        if used < 0.025:
            return


def rss_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read()).group(1)) / 1024


class Stolen:
    """The part of the processors' time that the host of a virtual machine gave to others while the block
    ran, in percent: it counts as time of the process that would have run."""

    def __enter__(self):
        self.before = self._ticks()
        return self

    def __exit__(self, *_):
        stolen, total = (after - before for after, before in zip(self._ticks(), self.before))
        self.percent = 100 * stolen / max(total, 1)

    @staticmethod
    def _ticks():
        ticks = [int(x) for x in open("/proc/stat").readline().split()[1:9]]  # proc_stat(5)
        return ticks[7], sum(ticks)


class PeakMemory:
    """The largest resident size of a process while the block runs, looked at every 20 ms."""

    def __init__(self, pid):
        self.pid, self.mib, self.stop = pid, rss_mib(pid), threading.Event()
        self.thread = threading.Thread(target=self._watch)

    def _watch(self):
        while not self.stop.wait(0.02):
            self.mib = max(self.mib, rss_mib(self.pid))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join()


def listener_pid(port):
    """The process that listens on a TCP port of this machine."""
    sockets = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in open(table).readlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and int(fields[1].rsplit(":", 1)[1], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    for folder in pathlib.Path("/proc").glob("[0-9]*/fd"):
        try:
            if any(os.readlink(fd) in sockets for fd in folder.iterdir()):
                return int(folder.parent.name)
        except OSError:
            continue
    return None


MEMORY_TOUCHED = 2 << 30  # more than a bulk row takes: the client's records and the page cache of the broker
# Of Linux, in a virtual machine: the smallest block of free pages, as a power of two, that goes back to the host.
REPORTED_ORDER = pathlib.Path("/sys/module/page_reporting/parameters/page_reporting_order")
ORDER_OF_NONE = "11"


def touch(size):
    """Has that much memory given to this machine; half or less on a small one."""
    while size:
        try:
            mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE).close()
            return
        except OSError:
            size //= 2


def touch_memory():
    """Has the pages that a row will take given to this machine before, so that no broker pays for them.

    A virtual machine gives free pages back to its host after two seconds; the first touch of each then
    costs up to a CPU second a GiB. Who comes just after an end of a big process gets its pages cheaply, so
    without this the order of the brokers decides a row.
    """
    touch(MEMORY_TOUCHED)


@contextlib.contextmanager
def memory_kept():
    """Where root may say so, no page goes back to the host for the time of a run: a row that takes longer than
    two seconds would meet such pages all the same. Most of what is free is touched once, at the beginning."""
    try:
        before = REPORTED_ORDER.read_text()
        REPORTED_ORDER.write_text(ORDER_OF_NONE)
    except OSError:
        yield  # no virtual machine, another kernel, or not root
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that it is put back
    try:
        available = next(line for line in open("/proc/meminfo") if line.startswith("MemAvailable"))
        touch(int(available.split()[1]) * 1024 * 3 // 4)
        yield
    finally:
        REPORTED_ORDER.write_text(before)


def port_open(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def children_seconds():
    """CPU time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def bench(*arguments, timeout=300):
    """One run of the client: its figures. One that fails or takes too long gives no figure."""
    try:
        done = subprocess.run([str(BENCH), *map(str, arguments)], capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        print(f"  {' '.join(map(str, arguments))}: no end after {timeout} s", file=sys.stderr)
        return None
    if done.returncode != 0:
        print("  ", done.stdout.strip(), done.stderr.strip(), file=sys.stderr)
        return None
    return [float(x) for x in re.findall(r"-?\d+(?:\.\d+)?", re.sub(r"p50|p99", "", done.stdout))]


@contextlib.contextmanager
def load(*arguments):
    """A run of the client beside what is done meanwhile, ended with it."""
    client = subprocess.Popen([str(BENCH), *map(str, arguments)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        client.kill()
        client.wait()


AT_ONCE = 5000  # partitions made by one request: Apache Kafka refuses 10,000


class Target:
    """A broker under measurement that runs already."""

    def __init__(self, name, bootstrap, pid, folder=None):
        self.name, self.bootstrap, self.pid, self.folder = name, bootstrap, pid, folder
        self.made, self.topics = 0, []

    def admin(self):
        from confluent_kafka.admin import AdminClient

        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})

    def folders(self):
        return sum(1 for _ in pathlib.Path(self.folder, "topics").iterdir()) if self.folder else 0

    def remove_topics(self):
        """With their files, where the folder is known: those go with the checkpoint after the next, and where a
        file system tells its disk what is free (mount option discard) syncs take longer meanwhile."""
        names, self.topics = self.topics, []
        admin, before, limit = self.admin(), self.folders(), time.monotonic() + 60
        for removed in admin.delete_topics(names, operation_timeout=120).values() if names else ():
            removed.result(120)
        left, seen = before, -1
        while names and self.folder and (left == before or left != seen) and time.monotonic() < limit:
            time.sleep(0.5)
            left, seen = self.folders(), left
        os.sync()

    def topic(self, partitions):
        from confluent_kafka.admin import NewPartitions, NewTopic

        self.made += 1
        name = f"bench{os.getpid()}-{self.made}"
        self.topics.append(name)
        admin = self.admin()
        patience = {"request_timeout": 120, "operation_timeout": 120}
        first = min(partitions, AT_ONCE)
        admin.create_topics([NewTopic(name, first, 1)], **patience)[name].result(120)
        for more in range(first + AT_ONCE, partitions + AT_ONCE, AT_ONCE):
            admin.create_partitions([NewPartitions(name, min(more, partitions))], **patience)[name].result(120)
        # Apache Kafka answers before the last of its partitions has a leader.
        while sum(p.leader >= 0 for p in admin.list_topics(name, 30).topics[name].partitions.values()) < partitions:
            time.sleep(0.1)
        time.sleep(0.3)
        return name

    def measured(self, count, *arguments):
        """rate, and CPU seconds of the server and of the client a million of @count."""
        os.sync()  # what earlier rows left in the page cache is not written meanwhile
        touch_memory()
        before, client = cpu_seconds(self.pid), children_seconds()
        figures = bench(*arguments)
        if not figures:
            return {}
        each = 1e6 / count
        return {
            "rate": figures[0],
            "cpu": (cpu_seconds(self.pid) - before) * each,
            "client": (children_seconds() - client) * each,
        }


class OwnEventbox(Target):
    """An eventbox of its own, for rows that kill it or look at its memory."""

    def __init__(self, folder):
        from support.server import Eventbox

        self.server = Eventbox(folder, args=["--log_level=warn"], own_session=True).start()
        super().__init__("eventbox", self.server.bootstrap, self.server.process.pid)

    def kill(self):
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()

    def start_again(self):
        self.server.spawn()
        self.pid = self.server.process.pid

    def end(self):
        self.server.stop()


class OwnKafka(Target):
    """Apache Kafka, started again by the command that the caller gave."""

    def __init__(self, running, command):
        super().__init__(running.name, running.bootstrap, running.pid)
        self.running, self.command = running, command

    def kill(self):
        os.kill(self.pid, signal.SIGKILL)
        while os.path.exists(f"/proc/{self.pid}") and "State:\tZ" not in open(f"/proc/{self.pid}/status").read():
            time.sleep(0.01)

    def start_again(self):
        subprocess.Popen(
            self.command, shell=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def end(self):
        self.pid = self.running.pid = listener_pid(int(self.bootstrap.rsplit(":", 1)[1]))
        self.running.topics += self.topics
