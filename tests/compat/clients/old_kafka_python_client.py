"""kafka-python 2.0.2 as a process, in an environment of its own, beside the newest one of the test process.
usage: python old_kafka_python_client.py HOST:PORT
"""

import queue
import sys
import threading
import time

from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import for_code
from python_process import serve, written

BOOTSTRAP = sys.argv[1]
PATIENCE_S = 20
members = {}


def metadata(_):
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    try:
        return {
            "brokers": [f"{b['host']}:{b['port']}" for b in admin.describe_cluster()["brokers"]],
            "topics": {t["topic"]: len(t["partitions"]) for t in admin.describe_topics()},
        }
    finally:
        admin.close()


def create(given):
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    try:
        admin.create_topics([NewTopic(given["topic"], int(given["partitions"]), 1)])
    finally:
        admin.close()
    return {}


def grow(given):
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    try:
        admin.create_partitions({given["topic"]: NewPartitions(int(given["partitions"]))})
    finally:
        admin.close()
    return {}


def delete(given):
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    try:
        admin.delete_topics([given["topic"]])
    finally:
        admin.close()
    return {}


def checked(row):
    """Its answers to both requests about configs begin so; it leaves the errors to the caller."""
    if row[0]:
        raise for_code(row[0])(row[1])
    return row


def configs(given):
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    try:
        (answer,) = admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, given["topic"])])
        return {"configs": {config[0]: config[1] for config in checked(answer.resources[0])[4]}}
    finally:
        admin.close()


def configure(given):
    admin = KafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    try:
        changed = ConfigResource(ConfigResourceType.TOPIC, given["topic"], {given["name"]: given["value"]})
        checked(admin.alter_configs([changed]).resources[0])
    finally:
        admin.close()
    return {}


def produce(given):
    producer = KafkaProducer(
        bootstrap_servers=BOOTSTRAP,
        acks={"0": 0, "1": 1, "all": "all"}[given["acks"]],
        compression_type=None if given["codec"] == "none" else given["codec"],
    )
    try:
        sent = [
            producer.send(given["topic"], value, key, headers, partition)
            for partition, key, value, headers in given["records"]
        ]
        producer.flush(PATIENCE_S)
        for answer in sent:
            answer.get(1)
    finally:
        producer.close()
    return {}


def consume(given):
    place, start, count = TopicPartition(given["topic"], int(given["partition"])), given["start"], int(given["count"])
    consumer = KafkaConsumer(
        bootstrap_servers=BOOTSTRAP,
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        auto_offset_reset="none" if start.startswith("only:") else "latest",
    )
    consumer.assign([place])
    if start == "earliest":
        consumer.seek_to_beginning(place)
    elif start.startswith("time:"):
        consumer.seek(place, consumer.offsets_for_times({place: int(start[5:])})[place].offset)
    else:
        consumer.seek(place, int(start.removeprefix("only:")))
    records, end = [], time.monotonic() + PATIENCE_S
    while len(records) < count:
        assert time.monotonic() < end, f"{len(records)} records of {count}"
        for found in consumer.poll(timeout_ms=500, max_records=count - len(records)).values():
            records += [written(f) for f in found]
    consumer.close()
    return {"records": records}


class MemberThread(threading.Thread):
    """Its poll returns only when the group is whole, so members of one process cannot take turns on one thread."""

    def __init__(self, group, topic):
        super().__init__(daemon=True)
        self.consumer = KafkaConsumer(
            topic,
            bootstrap_servers=BOOTSTRAP,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=200,
            session_timeout_ms=6000,
            fetch_max_wait_ms=100,
        )
        self.found, self.wanted, self.owned = queue.SimpleQueue(), queue.SimpleQueue(), []
        self.start()

    def run(self):
        while True:
            for batch in self.consumer.poll(timeout_ms=100).values():
                for record in batch:
                    self.found.put(written(record))
            self.owned = sorted(p.partition for p in self.consumer.assignment())
            while not self.wanted.empty():  # calls that only this thread may make
                call, done, failed = self.wanted.get()
                try:
                    call()
                except Exception as error:  # whoever asked is told
                    failed.append(error)
                done.set()
                if call == self.consumer.close:
                    return

    def ask(self, call):
        done, failed = threading.Event(), []
        self.wanted.put((call, done, failed))
        assert done.wait(PATIENCE_S), f"{call.__name__} did not end"
        if failed:
            raise failed[0]
        return {}


def join(given):
    members[given["member"]] = MemberThread(given["group"], given["topic"])
    return {}


def poll(given):
    member, records = members[given["member"]], []
    assert member.is_alive(), "its thread ended by itself"
    time.sleep(0.05)
    while not member.found.empty():
        records.append(member.found.get())
    return {"records": records, "assignment": member.owned}


def commit(given):
    member = members[given["member"]]
    return member.ask(member.consumer.commit)


def leave(given):
    member = members.pop(given["member"])
    return member.ask(member.consumer.close)


VERBS = (metadata, create, grow, delete, configs, configure, produce, consume, join, poll, commit, leave)
serve({verb.__name__: verb for verb in VERBS})
