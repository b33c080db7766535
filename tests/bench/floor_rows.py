"""The floor: what the machine takes for the same writes, syncs and messages without any server (floor.c).
Beside the other rows it tells how much of a figure is the kernel's, the disk's or the virtual machine's."""

import pathlib
import shutil
import subprocess

from measure import touch_memory

FLOOR = pathlib.Path(__file__).resolve().parents[2] / "build/floor"
FILES = (1, 6, 100, 1000, 10000)
# Bytes of requests and answers of the rows small-KIND-10000, lengths in front of them included.
SMALL = {"ApiVersions": (29, 328), "Metadata": (39, 115), "Produce": (227, 64)}

# Of the rows produce-SIZE-none-PRODUCERS, as metrics and getrusage(2) told: connections (the two threads of a single
# producer as one each), bytes of a batch, CPU seconds of the client a GiB, bytes of a record in its batch.
BULK = {
    "100 B from 1 producer": (2, 540_000, 11, 110),
    "100 B from 16": (16, 220_000, 9.7, 110),
    "1 KiB from 1": (2, 700_000, 2.3, 1034),
    "1 KiB from 16": (16, 400_000, 2.6, 1034),
}
PARTITIONS = (1, 16_500, 0.29, 110)  # of the rows partitions-N, the same
GATHERED_MIB = 8  # eventbox keeps so much for its segments, whatever their number


def floor(*arguments):
    done = subprocess.run([str(FLOOR), *map(str, arguments)], capture_output=True, text=True, check=True)
    return [float(x) for x in done.stdout.split()]


def sync(pace_us):
    return lambda folder, scale: dict(
        zip(("p50_us", "p99_us", "cpu_us"), floor("sync", folder, pace_us, int(5000 * scale)))
    )


def pages(what):
    return lambda folder, scale: {"cpu_s_gib": floor(what, folder, int(2048 * scale))[0]}


def scatter(files, open_files, kib=16):
    def measure(folder, scale):
        touch_memory()  # as before each bulk row
        count = max(int(60_000 * 16 // kib * scale), files)
        return {"cpu_us": floor("scatter", folder, files, open_files, count, kib << 10)[0]}

    return measure


def sockets(connections, request, answer):
    return lambda folder, scale: {
        "cpu_us": floor("sockets", connections, max(int(300_000 * scale), connections * 4), request, answer)[0]
    }


def relay(rate, synced):
    return lambda folder, scale: dict(
        zip(("p50_us", "p99_us"), floor("relay", folder if synced else "-", rate, max(int(5 * rate * scale), 1000)))
    )


def bulk(connections, batch, client, record, files=6, gathered=GATHERED_MIB):
    def measure(folder, scale):
        touch_memory()
        cpu_s_gib, mib_s = floor("bulk", folder, connections, files, int(1024 * scale), batch, client, gathered)
        return {"cpu": cpu_s_gib * record * 1e6 / 2**30, "rate": mib_s * 2**20 / record}

    return measure


ROWS = {
    "a frame of 4 KiB written and synced, one after the other": sync(0),
    "the same, 1,000 a second": sync(1000),
    "1 GiB into pages of the cache that were not there": pages("fresh"),
    "1 GiB over pages of the cache": pages("again"),
    **{
        f"16 KiB appended to {n:,} file{'s' if n > 1 else ''} in turns{what}": scatter(n, open_files)
        for n in FILES
        for what, open_files in ((", held open", n), (", each opened for it", 0))
    },
    **{
        f"{kib} KiB appended to {n:,} file{'s' if n > 1 else ''} in turns, each 16 KiB of it": scatter(n, n, kib)
        for n, kib in ((1, 256), (6, 256), (100, 80))
    },
    **{f"as {name}, looked at by nobody": bulk(*row) for name, row in BULK.items()},
    **{
        f"as batches of 16 KiB over {n:,} file{'s' if n > 1 else ''}, {mib} MiB waiting, looked at by nobody":
            bulk(*PARTITIONS, n, mib)
        for mib in (GATHERED_MIB, 40) for n in FILES
    },
    **{
        f"{request} bytes received, {answer} sent, as for {kind}, 10,000 connections": sockets(10000, request, answer)
        for kind, (request, answer) in SMALL.items()
    },
    **{
        f"64 bytes by way of a thread{' that syncs' if synced else ''}, {rate:,} a second": relay(rate, synced)
        for rate in (1000, 10000)
        for synced in (False, True)
    },
}


def floor_rows(folder, rounds, scale, progress):
    """{(title, "the machine"): {figure: [values]}}"""
    results = {}
    for title, measure in ROWS.items():
        for _ in range(rounds):
            place = folder / "floor"
            place.mkdir()
            for name, value in measure(place, scale).items():
                results.setdefault((title, "floor"), {}).setdefault(name, []).append(value)
            shutil.rmtree(place)
        progress(f"floor: {title}: {results[title, 'floor']}")
    return results
