"""The load of the crash test: stock clients in processes of their own, each noting what was acknowledged.

A client writes one JSON line before it sends (invoke) and one when it knows (ok, or unknown when the
connection broke). What it has noted as ok is what the checker demands afterwards. The server is
killed under them, they are not.
"""

import http.client
import json
import random
import time


class History:
    """Lines of one client; and the count of acknowledged operations that the runner watches."""

    def __init__(self, path, acked):
        self.file = open(path, "a", buffering=1)
        self.acked = acked

    def note(self, kind, **fields):
        self.file.write(json.dumps({"kind": kind, **fields}) + "\n")

    def ok(self, kind, **fields):
        self.note(kind, **fields)
        with self.acked.get_lock():
            self.acked.value += 1


def produce(path, acked, stop, bootstrap, topic, name, idempotent, acks, pause=0.0):
    """Sends numbered records, a pause after each, with a few in flight; notes the offset of each acknowledged one."""
    from confluent_kafka import Producer

    history = History(path, acked)
    producer = Producer(
        {
            "bootstrap.servers": bootstrap,
            "enable.idempotence": idempotent,
            "acks": acks,
            "linger.ms": 1,
            "message.timeout.ms": 120000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "retry.backoff.ms": 20,
            "socket.timeout.ms": 10000,
            "log_level": 0,
        }
    )
    number = 0

    def delivered(error, message):
        value = message.value().decode()
        if error:
            history.note("unknown", value=value, error=str(error))
        else:
            history.ok("ok", value=value, partition=message.partition(), offset=message.offset())

    while not stop.is_set():
        value = f"{name}-{number}-" + "x" * random.randrange(200)
        number += 1
        history.note("invoke", value=value)
        producer.produce(topic, value=value, key=str(number % 50), on_delivery=delivered)
        producer.poll(0)
        while len(producer) > 200 and not stop.is_set():
            producer.poll(0.01)
        if pause:
            time.sleep(pause)
    producer.flush(120)


def consume(path, acked, stop, bootstrap, topic, group):
    """A group member that commits what it has read; notes each acknowledged commit."""
    from confluent_kafka import Consumer, KafkaException

    history = History(path, acked)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "session.timeout.ms": 10000,
            "socket.timeout.ms": 10000,
            "reconnect.backoff.ms": 20,
            "reconnect.backoff.max.ms": 100,
            "log_level": 0,
        }
    )
    consumer.subscribe([topic])
    while not stop.is_set():
        messages = [m for m in consumer.consume(200, 0.05) if not m.error()]
        if not messages:
            continue
        ends = {m.partition(): m.offset() + 1 for m in messages}
        history.note("invoke", ends=ends)
        try:
            done = consumer.commit(message=messages[-1], asynchronous=False)
            for part in done:
                if not part.error:
                    history.ok("ok", partition=part.partition, offset=part.offset)
        except KafkaException as error:
            history.note("unknown", error=str(error))
    consumer.close()


def rest(path, acked, stop, port, name):
    """Registers users and updates them; a user's full_name counts its updates."""
    history = History(path, acked)
    users, number, connection = [], 0, None
    while not stop.is_set():
        number += 1
        if not users or number % 8 == 0:
            username = f"{name}{number}"
            body = {
                "username": username,
                "email": f"{username}@example.com",
                "password": "SecurePass123",
                "full_name": "v0",
            }
            op, method, target = {"username": username}, "POST", "/users/"
        else:
            user = random.choice(users)
            user["version"] += 1
            body = {"full_name": f"v{user['version']}"}
            op = {"id": user["id"], "version": user["version"]}
            method, target = "PUT", f"/users/{user['id']}"
        kind = "create" if method == "POST" else "update"
        history.note("invoke", op=kind, **op)
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request(method, target, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            payload = answer.read()
            if answer.status == 201:
                user = json.loads(payload)
                users.append({"id": user["id"], "version": 0})
                history.ok("ok", op=kind, id=user["id"], **op)
            elif answer.status == 200:
                history.ok("ok", op=kind, **op)
            else:
                reason = payload.decode(errors="replace")[:200]
                history.note("refused", op=kind, status=answer.status, body=reason, **op)
                time.sleep(0.02)
        except (OSError, http.client.HTTPException) as error:
            history.note("unknown", op=kind, error=repr(error), **op)
            connection = None
            time.sleep(0.02)


def post_mails(path, acked, stop, port, name, pause):
    """Asks for a mail to an address of its own, again and again, a pause after each."""
    history = History(path, acked)
    number, connection = 0, None
    while not stop.is_set():
        number += 1
        address = f"{name}{number}@example.com"
        body = {"type": "email", "to": address, "subject": "Crash test", "body": f"Number {number}"}
        history.note("invoke", address=address)
        try:
            connection = connection or http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", "/notifications", json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            payload = answer.read()
            if answer.status == 202:
                history.ok("ok", address=address)
            else:
                reason = payload.decode(errors="replace")[:200]
                history.note("refused", address=address, status=answer.status, body=reason)
        except (OSError, http.client.HTTPException) as error:
            history.note("unknown", address=address, error=repr(error))
            connection = None
        time.sleep(pause)


def scrape(path, _acked, stop, port, pause):
    """Reads the metrics and the readiness again and again, as monitoring does, so that they are asked for at every
    moment of the server's life. Counts for no kill: the others' work decides about those."""
    history = History(path, None)
    while not stop.is_set():
        for target in ("/metrics", "/readyz"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            try:
                connection.request("GET", target)
                answer = connection.getresponse()
                answer.read()
                history.note("ok" if answer.status == 200 else "refused", target=target, status=answer.status)
            except (OSError, http.client.HTTPException) as error:
                history.note("unknown", target=target, error=repr(error))
            finally:
                connection.close()
        time.sleep(pause)
