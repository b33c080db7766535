"""librdkafka 2.0.2 by its Python client, as a process in an environment of its own: what confluent.py does with the
newest. usage: python old_confluent_client.py HOST:PORT
"""

import pathlib
import sys

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[n]) for n in (1, 2)]

from clients import Record  # noqa: E402
from clients.confluent import Confluent  # noqa: E402
from python_process import serve, written  # noqa: E402

client = Confluent(sys.argv[1])
members = {}


def nothing(_):
    return {}


def produce(given):
    records = [Record(v, k, tuple(h), -1 if p is None else p) for p, k, v, h in given["records"]]
    client.produce(given["topic"], records, given["acks"], given["codec"], given["idempotent"] == "true")
    return {}


def consume(given):
    start = given["start"]
    if ":" in start:
        kind, _, number = start.partition(":")
        start = (kind, int(number))
    elif start != "earliest":
        start = int(start)
    found = client.consume(given["topic"], int(given["partition"]), start, int(given["count"]))
    return {"records": [written(record) for record in found]}


def join(given):
    options = {name: given[name] for name in ("instance", "cooperative", "commit_on_revoke") if name in given}
    members[given["member"]] = client.join(given["group"], given["topic"], **options)
    return {}


def poll(given):
    member = members[given["member"]]
    member.poll()
    records, member.records = member.records, []
    revoked, member.revoked = member.revoked, []
    return {
        "records": [written(record) for record in records],
        "assignment": sorted(member.assignment),
        "revoked": revoked,
    }


serve(
    {
        "metadata": lambda _: client.metadata(),
        "create": lambda given: nothing(client.create_topic(given["topic"], int(given["partitions"]))),
        "grow": lambda given: nothing(client.grow_topic(given["topic"], int(given["partitions"]))),
        "delete": lambda given: nothing(client.delete_topic(given["topic"])),
        "configs": lambda given: {"configs": client.configs(given["topic"])},
        "configure": lambda given: nothing(client.configure(given["topic"], given["name"], given["value"])),
        "produce": produce,
        "consume": consume,
        "join": join,
        "poll": poll,
        "commit": lambda given: nothing(members[given["member"]].commit()),
        "leave": lambda given: nothing(members.pop(given["member"]).leave()),
    }
)
