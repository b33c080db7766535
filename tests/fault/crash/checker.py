"""The independent checker: reads through stock clients and REST only, compares with what clients noted.

Knows nothing of the server's files and shares no code with it. Each rule returns the violations as
lines; an empty list is a pass.
"""

import collections
import http.client
import json


def read_history(path, goes_on=False):
    """What a client noted. One that goes on may be amid its last line, which does not count yet."""
    with open(path) as file:
        return [json.loads(line) for line in file if line.endswith("\n") or not goes_on]


def drain(bootstrap, topic):
    """Every record of a topic: {partition: [(offset, key, value)]} read by a stock consumer."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "checker",
            "enable.auto.commit": False,
            "isolation.level": "read_uncommitted",
            "enable.partition.eof": True,
        }
    )
    partitions = consumer.list_topics(topic, timeout=20).topics[topic].partitions
    found, left = {p: [] for p in partitions}, set(partitions)
    consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
    while left:
        message = consumer.poll(20)
        assert message is not None, f"{topic}: no end after 20 s"
        if message.error():
            assert message.error().name() == "_PARTITION_EOF", message.error()
            left.discard(message.partition())
            continue
        found[message.partition()].append((message.offset(), message.key(), message.value()))
    consumer.close()
    return found


def check_records(name, history, found, idempotent):
    """Every acknowledged record at its offset; none twice from an idempotent producer; none that was never sent."""
    problems = []
    at = {(p, offset): value.decode() for p, rows in found.items() for offset, _, value in rows}
    sent = {e["value"] for e in history if e["kind"] == "invoke"}
    times = collections.Counter(v for v in at.values() if v.startswith(name + "-"))
    for entry in history:
        if entry["kind"] == "ok" and at.get((entry["partition"], entry["offset"])) != entry["value"]:
            where = f"{entry['partition']}/{entry['offset']}"
            problems.append(f"{name}: acknowledged {entry['value'][:40]} is not at {where}")
    for value, count in times.items():
        if idempotent and count > 1:
            problems.append(f"{name}: {value[:40]} is there {count} times")
        if value not in sent:
            problems.append(f"{name}: {value[:40]} was never sent")
    return problems


def check_offsets_unique(found):
    problems = []
    for partition, rows in found.items():
        offsets = [offset for offset, _, _ in rows]
        if offsets != sorted(set(offsets)):
            problems.append(f"partition {partition}: offsets are not strictly rising")
    return problems


def check_commits(bootstrap, topic, group, history):
    """The committed offset is the last acknowledged one, or one of a commit that was under way after it."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": group})
    last, possible = {}, collections.defaultdict(set)
    for entry in history:
        if entry["kind"] == "invoke":
            for partition, offset in entry["ends"].items():
                possible[int(partition)].add(offset)
        elif entry["kind"] == "ok":
            last[entry["partition"]] = entry["offset"]
            possible[entry["partition"]] = {entry["offset"]}
    problems = []
    for row in consumer.committed([TopicPartition(topic, p) for p in last], timeout=20):
        if row.offset < last[row.partition]:
            problems.append(
                f"group {group}: partition {row.partition} is at {row.offset},"
                f" {last[row.partition]} was acknowledged"
            )
    consumer.close()
    return problems


def get_json(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    payload = answer.read()
    connection.close()
    return answer.status, json.loads(payload)


def check_users(port, histories):
    """Every 201 is there; a user's version is at least the last acknowledged one and at most the last sent one."""
    problems, users = [], {}
    for history in histories:
        for entry in history:
            if entry["kind"] == "ok" and entry["op"] == "create":
                users[entry["id"]] = {"username": entry["username"], "least": 0, "most": 0}
            elif entry["kind"] == "invoke" and entry["op"] == "update":
                users[entry["id"]]["most"] = entry["version"]
            elif entry["kind"] == "ok" and entry["op"] == "update":
                users[entry["id"]]["least"] = entry["version"]
    for number, user in users.items():
        status, body = get_json(port, f"/users/{number}")
        if status != 200 or body["username"] != user["username"]:
            problems.append(f"user {number} ({user['username']}) got a 201 and is {status} now")
            continue
        version = int(body["full_name"][1:])
        if not user["least"] <= version <= user["most"]:
            problems.append(f"user {number} is at v{version}, acknowledged v{user['least']}, sent v{user['most']}")
    return problems, users


def all_users(port):
    users, skip = [], 0
    while True:
        _, page = get_json(port, f"/users/?skip={skip}&limit=1000")
        users += page
        skip += len(page)
        if len(page) < 1000:
            return users


def check_events(bootstrap, port):
    """`notification`, its copy and `user_created` have exactly one record for each user that exists."""
    problems = []
    ids = collections.Counter(str(u["id"]) for u in all_users(port))
    for topic, of in (
        ("notification", lambda k, v: v.decode().rsplit(" ", 1)[1]),
        ("notifications", lambda k, v: v.decode().rsplit(" ", 1)[1]),
        ("user_created", lambda k, v: k.decode()),
    ):
        seen = collections.Counter(of(k, v) for rows in drain(bootstrap, topic).values() for _, k, v in rows)
        if seen != ids:
            missing, extra = ids - seen, seen - ids
            problems.append(f"{topic}: missing {sorted(missing)[:5]}, too many {sorted(extra)[:5]}")
    return problems


def all_notifications(port):
    rows, cursor = [], ""
    while True:
        _, page = get_json(port, "/notifications?limit=1000" + cursor)
        rows += page
        if len(page) < 1000:
            return rows
        cursor = f"&cursor={page[-1]['id']}"


def deliveries_by_address(port):
    found = collections.defaultdict(list)
    for notification in all_notifications(port):
        for delivery in notification["deliveries"]:
            found[delivery["address"]].append(delivery["state"])
    return found


FINAL_STATES = ("sent", "in_doubt", "failed", "dead")


def check_mails(port, users_port, posts, journal):
    """One delivery and one mail for each user and each accepted POST /notifications.

    A second mail, or none, only beside an entry in doubt. A POST whose answer was lost may have
    left a delivery or nothing; nothing else may be there.
    """
    problems, in_doubt = [], 0
    mails = collections.Counter(journal)
    deliveries = deliveries_by_address(port)
    least = {user["email"]: 1 for user in all_users(users_port)}
    for entry in posts:
        least[entry["address"]] = max(least.get(entry["address"], 0), entry["kind"] == "ok")
    for address in (deliveries.keys() | mails.keys()) - least.keys():
        problems.append(f"{address}: nobody asked for a mail to it")
    for address, wanted in least.items():
        states = deliveries[address]
        doubt = "in_doubt" in states
        in_doubt += doubt
        if not wanted <= len(states) <= 1:
            problems.append(f"{address}: {len(states)} deliveries")
        if any(state not in FINAL_STATES for state in states):
            problems.append(f"{address}: came to no end, {states}")
        if mails[address] > 1 and not doubt:
            problems.append(f"{address}: {mails[address]} mails and no doubt shown")
        if mails[address] == 0 and not doubt and (wanted or states):
            problems.append(f"{address}: no mail, state {states}")
    return problems, in_doubt
