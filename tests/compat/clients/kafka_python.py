"""kafka-python from PyPI: no librdkafka below it."""

import queue
import threading
import time
import warnings

from . import Client, Member, Record

with warnings.catch_warnings():
    # It reads its schemas with functions that Python 3.11 calls old.
    warnings.simplefilter("ignore", DeprecationWarning)
    from kafka import ConsumerRebalanceListener, KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
    from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
    from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor

ACKS = {"0": 0, "1": 1, "all": "all"}


def record_of(found):
    return Record(found.value, found.key, tuple(found.headers), found.partition, found.offset, found.timestamp)


class Revoked(ConsumerRebalanceListener):
    def __init__(self, member):
        self.member = member

    def on_partitions_revoked(self, revoked):
        self.member.revoked += sorted(p.partition for p in revoked)

    def on_partitions_assigned(self, assigned):
        pass  # assignment() tells


class KafkaPythonMember(Member):
    """Polls on a thread of its own and for a whole second: this client forgets an assignment that arrives after
    the poll that asked for it has timed out (3.0.12, with Apache Kafka too), and a rebalance ends only when all
    members poll at once.
    """

    def __init__(self, bootstrap, group, topic, instance=None, cooperative=False):
        super().__init__()
        more = {"partition_assignment_strategy": [CooperativeStickyAssignor]} if cooperative else {}
        self.consumer = KafkaConsumer(
            **more,
            bootstrap_servers=bootstrap,
            group_instance_id=instance,
            group_id=group,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            heartbeat_interval_ms=200,
            session_timeout_ms=6000,
            fetch_max_wait_ms=100,
        )
        self.consumer.subscribe([topic], listener=Revoked(self))
        self.wanted = queue.SimpleQueue()  # calls that only the consumer's own thread may make
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            for found in self.consumer.poll(timeout_ms=1000).values():
                self.records += [record_of(f) for f in found]
            self.assignment = {p.partition for p in self.consumer.assignment()}
            while not self.wanted.empty():
                call, done, failed = self.wanted.get()
                try:
                    call()
                except Exception as error:  # whoever asked is told
                    failed.append(error)
                done.set()
                if call == self.consumer.close:
                    return

    def _ask(self, call):
        done, failed = threading.Event(), []
        self.wanted.put((call, done, failed))
        assert done.wait(20), f"{call.__name__} did not end"
        if failed:
            raise failed[0]

    def poll(self):
        assert self.thread.is_alive(), "its thread ended by itself"
        time.sleep(0.02)

    def commit(self):
        self._ask(self.consumer.commit)

    def leave(self):
        self._ask(self.consumer.close)


class KafkaPython(Client):
    static_members = cooperative = True  # it refuses to commit while a callback runs
    grows_topics = resets_none = True
    tells_put_out = False  # its poll of a second comes first, and joins again

    def metadata(self):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            return {
                "brokers": [f"{b['host']}:{b['port']}" for b in admin.describe_cluster()["brokers"]],
                "topics": {t["name"]: len(t["partitions"]) for t in admin.describe_topics()},
            }
        finally:
            admin.close()

    def create_topic(self, topic, partitions):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_topics([NewTopic(topic, partitions, 1)])
        finally:
            admin.close()

    def grow_topic(self, topic, partitions):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.create_partitions({topic: NewPartitions(partitions)})
        finally:
            admin.close()

    def delete_topic(self, topic):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            admin.delete_topics([topic])
        finally:
            admin.close()

    def configs(self, topic):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            asked = ConfigResource(ConfigResourceType.TOPIC, topic)
            found = admin.describe_configs([asked], config_filter="all")["topic"][topic]
            if not found:  # it drops the broker's error
                raise LookupError(f"unknown topic {topic}")
            return {name: row["value"] for name, row in found.items()}
        finally:
            admin.close()

    def configure(self, topic, name, value):
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            done = admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {name: value})])
            if "Error" in str(done):  # it tells the broker's error instead of raising it
                raise ValueError(str(done))
        finally:
            admin.close()

    def produce(self, topic, records, acks="all", codec="none", idempotent=False):
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            acks=ACKS[acks],
            enable_idempotence=idempotent,
            compression_type=None if codec == "none" else codec,
        )
        try:
            answers = [
                producer.send(topic, r.value, r.key, list(r.headers), None if r.partition < 0 else r.partition)
                for r in records
            ]
            producer.flush(20)
            for answer in answers:
                answer.get(1)
        finally:
            producer.close()

    def consume(self, topic, partition, start, count):
        only = isinstance(start, tuple) and start[0] == "only"
        consumer = KafkaConsumer(
            bootstrap_servers=self.bootstrap,
            enable_auto_commit=False,
            fetch_max_wait_ms=100,
            auto_offset_reset="none" if only else "latest",
        )
        place = TopicPartition(topic, partition)
        consumer.assign([place])
        if start == "earliest":
            consumer.seek_to_beginning(place)
        elif only:
            consumer.seek(place, start[1])
        elif isinstance(start, tuple):
            consumer.seek(place, consumer.offsets_for_times({place: start[1]})[place].offset)
        else:
            consumer.seek(place, start)
        records, end = [], time.monotonic() + 20
        while len(records) < count:
            assert time.monotonic() < end, f"{len(records)} records of {count}"
            for found in consumer.poll(timeout_ms=500, max_records=count - len(records)).values():
                records += [record_of(f) for f in found]
        consumer.close()
        return records

    def join(self, group, topic, **options):
        return KafkaPythonMember(self.bootstrap, group, topic, **options)
