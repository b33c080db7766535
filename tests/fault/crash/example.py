"""Kills the binary with the example module while it turns orders into receipts, then looks at both.

usage: python -m fault.crash.example [--kills N] [--binary PATH] [--seed S] [--keep DIR]   (from tests/)

Orders come from a stock idempotent producer; some are too long to be an order and must be passed by.
Afterwards each acknowledged order is in the topic once, the module counts each once, and its topic
of receipts holds one receipt for each, under the order's offset. A clean restart changes nothing of
it. Exit codes as in run.py.
"""

import os
import pathlib
import sys
import time
import traceback

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))

from fault.crash import checker, load, run  # noqa: E402
from support.server import ROOT, Eventbox, free_ports, wait_for  # noqa: E402

ORDERS, RECEIPTS = "example.orders", "example.receipts"
ITEM_MAX = 200  # longer values are no orders
ORDER_PAUSE_S = 0.002


def binary():
    """The binary with the example module: EVENTBOX_EXAMPLE_BINARY, else the sanitizer build's."""
    return os.environ.get("EVENTBOX_EXAMPLE_BINARY") or str(ROOT / "build-test/tests/module/eventbox-example")


class ExampleServer(Eventbox):
    def __init__(self, data):
        super().__init__(data)
        [self.example] = free_ports(1)

    def command(self):
        return [binary(), *super().command()[1:], f"--example.port={self.example}"]

    def orders(self):
        """The module's own count and the last offset it stored."""
        status, body = checker.get_json(self.example, "/orders")
        assert status == 200, body
        return body


def expected_receipts(orders):
    """{key: item} of the receipts that the records of the topic must lead to."""
    return {str(offset): value.decode() for offset, _, value in orders if 0 < len(value) <= ITEM_MAX}


def check_receipts(expected, counted, receipts):
    """Each order counted once, and one receipt for each; nothing else."""
    problems, seen = [], {}
    last = max((int(key) for key in expected), default=-1)
    if counted != {"count": len(expected), "last_offset": last}:
        problems.append(f"{len(expected)} orders up to {last}, the module has {counted}")
    for _, key, value in receipts:
        key = key.decode()
        if key in seen:
            problems.append(f"receipt {key} is there twice")
        seen[key] = value.decode()
        if expected.get(key) != seen[key]:
            problems.append(f"receipt {key} names {seen[key][:40]}, ordered was {str(expected.get(key))[:40]}")
    problems += [f"order {key} has no receipt" for key in expected.keys() - seen.keys()]
    return problems


def settle(server, expected):
    """Wait for the last order and the last receipt; what is missing later is the checker's to say."""
    try:
        wait_for(lambda: server.orders()["count"] >= len(expected), 60, "the last order")
        wait_for(lambda: len(checker.drain(server.bootstrap, RECEIPTS)[0]) >= len(expected), 30, "the last receipt")
    except AssertionError as error:
        print(error)


def check(folder, server):
    history = checker.read_history(folder / "order.history")
    found = checker.drain(server.bootstrap, ORDERS)
    problems = checker.check_offsets_unique(found) + checker.check_records("order", history, found, True)
    expected = expected_receipts(found[0])
    assert len(found) == 1 and expected, "a void run: no orders"
    settle(server, expected)
    problems += check_receipts(expected, server.orders(), checker.drain(server.bootstrap, RECEIPTS)[0])
    code = server.stop()
    assert code == 0, f"exit code {code} of a clean stop"
    server.start()
    problems += check_receipts(expected, server.orders(), checker.drain(server.bootstrap, RECEIPTS)[0])
    print(f"{len(found[0])} records, {len(expected)} orders")
    return problems


def crash(folder, kills, acked=200):
    """One whole run in a folder; the violations. Raises when the run proves nothing."""
    server = ExampleServer(folder / "data")
    clients = run.Clients(folder)
    try:
        server.start()
        clients.add(load.produce, "order", server.bootstrap, ORDERS, "order", True, "all", ORDER_PAUSE_S)
        try:
            run.kill_and_start(server, clients, kills, acked)
        finally:
            failed = clients.end()
        assert not failed, "the producer failed or did not end"
        problems = check(folder, server)
        server.close()
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
    return problems


def main():
    given = run.parse(10, __doc__).parse_args()
    folder, begun = run.begin(given), time.monotonic()
    try:
        if given.binary:
            os.environ["EVENTBOX_EXAMPLE_BINARY"] = str(pathlib.Path(given.binary).resolve(strict=True))
        problems = crash(folder, given.kills)
    except Exception:  # noqa: BLE001 - whatever it is, it is not a finding about the server
        traceback.print_exc()
        print(f"the run proves nothing, after {time.monotonic() - begun:.0f} s")
        return 2
    return run.report(given.kills, begun, problems)


if __name__ == "__main__":
    sys.exit(main())
