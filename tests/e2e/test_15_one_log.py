"""One log: subscribers in the process and clients on the wire see the same order and the same durable mark."""

import re
import threading

import pytest
from support.kafka_wire import Peer
from support.server import wait_for

USERS = 24


def register_all(eventbox, first=0, count=USERS):
    """From eight threads, so that the order is not the one of one caller. Threads whose server dies end."""

    def worker(n):
        for i in range(first + n, first + count, 8):
            try:
                eventbox.register(f"user{i}")
            except OSError:
                return

    threads = [threading.Thread(target=worker, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    return threads


def ids_on_the_wire(eventbox, topic, port):
    read = eventbox.kcat("-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", "%k|%s\n", port=port)
    if topic == "user_created":
        return [int(line.split("|")[0]) for line in read.splitlines()]
    return [int(n) for n in re.findall(r"^user_created\|User created with ID: (\d+)$", read, re.MULTILINE)]


def ids_in_process(eventbox):
    """In the order in which the notification service's subscription has handled them."""
    rows = eventbox.notifications("?limit=100")
    return [row["user_id"] for row in sorted(rows, key=lambda row: row["id"])]


def in_process_position(peer):
    """Where the notification service is in `notification`: the mirror of its own position."""
    answer = peer.ask("OffsetFetch", 5, GroupId="notification-service", Topics=None)
    rows = [t["Partitions"][0]["CommittedOffset"] for t in answer["Topics"] if t["Name"] == "notification"]
    return rows[0] if rows else 0


def durable_mark(peer):
    asked = [{"Name": "notification", "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]
    answer = peer.ask("ListOffsets", 4, ReplicaId=-1, IsolationLevel=0, Topics=asked)
    return answer["Topics"][0]["Partitions"][0]["Offset"]


@pytest.mark.parametrize("topic", ["notification", "user_created"])
def test_one_log__order_is_the_same_for_all(eventbox, topic):
    for thread in register_all(eventbox):
        thread.join()
    wait_for(lambda: len(ids_in_process(eventbox)) == USERS, what="all notifications")
    order = ids_in_process(eventbox)
    assert sorted(order) == list(range(1, USERS + 1))
    assert ids_on_the_wire(eventbox, topic, eventbox.external) == order
    assert ids_on_the_wire(eventbox, topic, eventbox.internal) == order


def test_one_log__nobody_in_the_process_is_ahead_of_the_durable_mark(eventbox):
    threads = register_all(eventbox)
    with Peer(eventbox.bootstrap) as external, Peer(f"127.0.0.1:{eventbox.internal}") as internal:
        while any(thread.is_alive() for thread in threads):
            handled = in_process_position(external)
            assert handled <= durable_mark(internal)
            assert handled <= durable_mark(external)
        wait_for(lambda: in_process_position(external) == USERS, what="the end of the topic")
        assert durable_mark(external) == durable_mark(internal) == USERS


def test_one_log__position_in_the_process_is_told_again_after_a_start(eventbox):
    """Its mirror comes after the position itself: a kill between the two left tools with an old one."""
    for thread in register_all(eventbox, count=3):
        thread.join()
    with Peer(eventbox.bootstrap) as peer:
        wait_for(lambda: in_process_position(peer) == 3, what="the position")
        assert peer.ask("DeleteGroups", 0, GroupsNames=["notification-service"])["Results"][0]["ErrorCode"] == 0
        assert in_process_position(peer) == 0
    eventbox.process.kill()
    eventbox.process.wait()
    eventbox.start()
    with Peer(eventbox.bootstrap) as peer:
        wait_for(lambda: in_process_position(peer) == 3, what="the position again")


def test_one_log__order_and_mark_outlive_a_kill(eventbox):
    threads = register_all(eventbox)
    wait_for(lambda: len(ids_in_process(eventbox)) > 3, what="the first notifications")
    eventbox.process.kill()
    eventbox.process.wait()
    for thread in threads:
        thread.join()
    eventbox.start()
    with Peer(eventbox.bootstrap) as peer:
        known = {user["id"] for user in eventbox.user_service("GET", "/users/?limit=100").json}
        wait_for(lambda: set(ids_in_process(eventbox)) == known, what="a notification for each who is registered")
        order = ids_in_process(eventbox)
        assert len(order) == len(known)  # nobody twice
        assert ids_on_the_wire(eventbox, "notification", eventbox.external) == order
        assert ids_on_the_wire(eventbox, "user_created", eventbox.internal) == order
        wait_for(lambda: in_process_position(peer) == durable_mark(peer), what="the durable mark")
        assert durable_mark(peer) == len(order)
