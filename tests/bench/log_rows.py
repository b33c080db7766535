"""The rows of the topic log. A row is a name, what it prints as, and how one target is measured."""

import os
import time

from measure import OwnEventbox, OwnKafka, PeakMemory, Stolen, bench, cpu_seconds, load, rss_mib, wait_idle

PARTITIONS = (1, 6, 100, 1000, 10000)
BATCH_RECORDS = 150  # 100 B each: 16 KiB a batch, what a Kafka producer sends unless told otherwise


class Row:
    """@measure(target, settings) gives {figure: value}; {} when there is none. @own: it wants to kill
    its server, or to look at the memory of one that has done nothing else."""

    def __init__(self, name, title, measure, own=False):
        self.name, self.title, self.measure, self.own = name, title, measure, own


# ---- bulk ----


def produce(size, codec, producers):
    def measure(target, settings):
        count = int((2_000_000 if size == 100 else 500_000) * settings.scale) // producers * producers
        return target.measured(
            count, "produce", target.bootstrap, target.topic(6), count, size, codec, producers
        )

    what = "random bytes" if codec == "none" else codec
    return Row(
        f"produce-{size}-{codec}-{producers}",
        f"produce {size} B, {what}, {producers} producer{'s' if producers > 1 else ''}",
        measure,
    )


def consume(size):
    def measure(target, settings):
        count = int((2_000_000 if size == 100 else 500_000) * settings.scale)
        topic = target.topic(6)
        if not bench("produce", target.bootstrap, topic, count, size, "none"):
            return {}
        time.sleep(1.5)  # what was just produced goes to its segments: this row reads files
        return target.measured(count, "consume", target.bootstrap, topic, count)

    return Row(f"consume-{size}", f"consume {size} B from the start", measure)


def tail(size):
    def measure(target, settings):
        count = int((2_000_000 if size == 100 else 500_000) * settings.scale)
        return target.measured(count, "tail", target.bootstrap, target.topic(6), count, size)

    return Row(f"tail-{size}", f"consume {size} B from the tail, with its producer", measure)


def pipeline(target, settings):
    count = int(300_000 * settings.scale)
    return target.measured(count, "pipeline", target.bootstrap, target.topic(1), count, 100, 64)


# ---- partitions ----


def make_files(target, topic, count):
    """Once round all partitions: folders and files are made (a second later), leaders are there."""
    bench("pipeline", target.bootstrap, topic, count * 2, 100, 64, 1, count)
    time.sleep(3)
    wait_idle(target.pid)


def partitions(count):
    def measure(target, settings):
        if target.name != "eventbox" and count > settings.kafka_partitions:
            return {}
        requests = max(int(60_000 * settings.scale), count)
        begun = time.monotonic()
        topic = target.topic(count)
        created = time.monotonic() - begun
        make_files(target, topic, count)
        figures = target.measured(
            requests * BATCH_RECORDS, "pipeline", target.bootstrap, topic, requests, 100, 64, BATCH_RECORDS, count
        )
        return {**figures, "create_s": created} if figures else {}

    return Row(
        f"partitions-{count}", f"{count:,} partition{'s' if count > 1 else ''}, batches of {BATCH_RECORDS} x 100 B",
        measure,
        own=True,  # else the files of the row before are unlinked meanwhile, up to 10,000 folders
    )


# ---- latency ----


def latency(rate):
    def measure(target, settings):
        topic = target.topic(1)
        os.sync()  # a gigabyte that an earlier row left in the page cache would be written meanwhile
        time.sleep(2)
        before, seconds = cpu_seconds(target.pid), max(2, int(5 * settings.scale))
        figures = bench("latency", target.bootstrap, topic, rate, seconds)
        if not figures:
            return {}
        cpu = (cpu_seconds(target.pid) - before) * 1e6 / (rate * seconds)
        return {"p50_ms": figures[0] / 1000, "p99_ms": figures[1] / 1000, "cpu": cpu}

    return Row(f"latency-{rate}", f"produce to consume at {rate:,}/s, no linger", measure)


# ---- restart ----


def measure_restart(target, topic):
    target.kill()
    begun = time.monotonic()
    target.start_again()
    answered = bench("answer", target.bootstrap, topic, 120)
    return {"ms": (answered[0] - begun) * 1000} if answered else {}


def restart(gib, count_of_partitions=6):
    def measure(target, settings):
        if target.name != "eventbox" and count_of_partitions > settings.kafka_partitions:
            return {}
        records = int(gib * 1024 * 1024 * settings.scale)
        topic = target.topic(count_of_partitions)
        if count_of_partitions > 6:
            requests = max(records // BATCH_RECORDS, count_of_partitions)
            filled = bench(
                "pipeline", target.bootstrap, topic, requests, 1000, 64, BATCH_RECORDS, count_of_partitions
            )
        else:
            filled = bench("produce", target.bootstrap, topic, records, 1000, "none", 1)
        return measure_restart(target, topic) if filled else {}

    name = f"restart-{gib}" + (f"-{count_of_partitions}" if count_of_partitions > 6 else "")
    where = f", {count_of_partitions:,} partitions" if count_of_partitions > 6 else ""
    return Row(name, f"kill -9 with {gib} GB of log{where}, to the first ack", measure, own=True)


def restart_amid(records, count_of_partitions, new=False):
    """Killed while small batches come in: then a start has most to write, however little that is in bytes. Where the
    topic is new the folders of most partitions do not exist yet."""

    def measure(target, settings):
        if target.name != "eventbox" and count_of_partitions > settings.kafka_partitions:
            return {}
        topic = target.topic(count_of_partitions)
        endless = 1_000_000_000
        if not new:
            make_files(target, topic, count_of_partitions)
        with load("pipeline", target.bootstrap, topic, endless, 100, 512, records, count_of_partitions):
            time.sleep(1 if new else max(3, 10 * settings.scale))
            return measure_restart(target, topic)

    where = f"{count_of_partitions:,} {'new ' if new else ''}partitions"
    return Row(
        f"restart-{'new' if new else 'amid'}-{count_of_partitions}-{records}",
        f"kill -9 amid batches of {records} x 100 B to {where}, to the first ack",
        measure,
        own=True,
    )


# ---- memory ----


def memory(target, settings):
    """Idle, at full load on six partitions, and a while after it."""
    time.sleep(2)
    figures = {"idle_MiB": rss_mib(target.pid)}
    count, topic = int(1_000_000 * settings.scale), target.topic(6)
    with PeakMemory(target.pid) as peak:
        bench("produce", target.bootstrap, topic, count, 1024, "none", 4)
    figures["load_MiB"] = peak.mib
    time.sleep(20)
    figures["after_MiB"] = rss_mib(target.pid)
    return figures


def memory_partitions(target, settings):
    if target.name != "eventbox" and settings.kafka_partitions < PARTITIONS[-1]:
        return {}
    topic = target.topic(PARTITIONS[-1])
    figures = {"idle_MiB": rss_mib(target.pid)}
    with PeakMemory(target.pid) as peak:
        bench(
            "pipeline", target.bootstrap, topic, int(100_000 * max(settings.scale, 0.2)), 100, 64, BATCH_RECORDS,
            PARTITIONS[-1],
        )
    figures["load_MiB"] = peak.mib
    time.sleep(20)
    figures["after_MiB"] = rss_mib(target.pid)
    return figures


ROWS = [
    *(produce(size, codec, n) for size in (100, 1024) for codec in ("none", "lz4") for n in (1, 16)),
    consume(100),
    consume(1024),
    tail(100),
    tail(1024),
    Row("pipeline", "one record a request, 64 in flight", pipeline),
    *(partitions(n) for n in PARTITIONS),
    latency(1000),
    latency(10000),
    restart(1),
    restart(10),
    restart(1, 10000),
    *(restart_amid(records, n) for n in (1000, 10000) for records in (1, 10)),
    *(restart_amid(records, 10000, new=True) for records in (1, 10)),
    Row("memory", "memory, six partitions", memory, own=True),
    Row("memory-partitions", "memory, 10,000 partitions", memory_partitions, own=True),
]


def chosen(only):
    """A row is named by its whole name or by the part before a dash: produce, produce-100-lz4-16."""
    return [row for row in ROWS if any(row.name == o or row.name.startswith(o + "-") for o in only)]


def measure_own(row, target, settings):
    """A row with a server of its own. Apache Kafka is the one that runs: it is killed and started again
    where the caller has said how; its memory is not that of a fresh process."""
    if target.name == "eventbox":
        folder = settings.folder / f"own-{row.name}-{time.monotonic_ns()}"
        own = OwnEventbox(folder)
    elif row.name.startswith("restart"):
        if not settings.kafka_start:
            return {}
        folder, own = None, OwnKafka(target, settings.kafka_start)
    else:
        return row.measure(target, settings)
    try:
        return row.measure(own, settings)
    finally:
        own.end()
        if folder:
            settings.remove(folder)


def measure_calm(row, target, settings):
    """A measurement in which the host took more than settings.calm percent of the processors' time is
    repeated, twice at most; the calmest counts. Gives the figures and that part in percent."""
    best = None
    for _ in range(3):
        with Stolen() as stolen:
            figures = measure_own(row, target, settings) if row.own else row.measure(target, settings)
        target.remove_topics()
        if best is None or stolen.percent < best[1]:
            best = figures, stolen.percent
        if stolen.percent <= settings.calm or not figures:
            break
        settings.progress(f"{row.name} {target.name}: {stolen.percent:.1f} % of the time were the host's")
    return best


def log_rows(targets, settings, results):
    """Fills {(title, target): {figure: [values]}}; each row goes round the targets before the next round,
    every second round in the other direction, so that none always comes after the same neighbour.
    A broker that fails a row has no figure there; its topics go, so that rows do not burden each other."""
    rows = chosen(settings.only)
    for row in rows:
        for turn in range(settings.rounds):
            for target in reversed(targets) if turn % 2 else targets:
                try:
                    figures, stolen = measure_calm(row, target, settings)
                except Exception as e:
                    settings.progress(f"{row.name} failed with {target.name}: {e!r}")
                    continue
                kept = results.setdefault((row.title, target.name), {})
                for name, value in figures.items():
                    kept.setdefault(name, []).append(value)
                shown = ", ".join(f"{name} {value:,.6g}" for name, value in figures.items())
                settings.progress(f"{row.name} {target.name}: {shown or 'not measured'} (stolen {stolen:.1f} %)")
