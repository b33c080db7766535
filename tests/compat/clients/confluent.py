"""confluent-kafka from PyPI: the newest librdkafka."""

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigEntry, ConfigResource, NewPartitions, NewTopic

try:
    from confluent_kafka.admin import AlterConfigOpType
except ImportError:
    AlterConfigOpType = None  # 2.0.2 can only set all configs of a topic at once

from support.server import wait_for

from . import Client, Member, Record

ACKS = {"0": 0, "1": 1, "all": -1}


def record_of(message):
    headers = tuple(message.headers() or ())
    return Record(
        message.value(), message.key(), headers, message.partition(), message.offset(), message.timestamp()[1]
    )


class ConfluentMember(Member):
    def __init__(self, bootstrap, group, topic, instance=None, cooperative=False, commit_on_revoke=False):
        super().__init__()
        settings = {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "heartbeat.interval.ms": 200,
            "session.timeout.ms": 6000,
            "fetch.wait.max.ms": 100,
        }
        if instance:
            settings["group.instance.id"] = instance
        if cooperative:
            settings["partition.assignment.strategy"] = "cooperative-sticky"
        self.commit_on_revoke = commit_on_revoke
        self.consumer = Consumer(settings)
        self.consumer.subscribe([topic], on_assign=self._on_assign, on_revoke=self._on_revoke)

    def _on_assign(self, _, partitions):
        self.assignment |= {p.partition for p in partitions}

    def _on_revoke(self, _, partitions):
        if self.commit_on_revoke:
            self._commit_what_is_new()
        self.assignment -= {p.partition for p in partitions}
        self.revoked += sorted(p.partition for p in partitions)

    def _commit_what_is_new(self):
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() != KafkaError._NO_OFFSET:  # it has read nothing since the last time
                raise

    def poll(self):
        for message in self.consumer.consume(100, 0.1):
            assert not message.error(), message.error()
            self.records.append(record_of(message))

    def commit(self):
        self.consumer.commit(asynchronous=False)

    def leave(self):
        if self.commit_on_revoke:
            # Its close() may wait for ever where a callback takes partitions amid a rebalance: the callback asks a
            # thread that waits for the callback (2.x). So they are given back before.
            self.consumer.unsubscribe()
            wait_for(self._gave_all_back, what="the end of the membership")
        self.consumer.close()

    def _gave_all_back(self):
        self.poll()
        return not self.assignment


class Confluent(Client):
    static_members = cooperative = commits_on_revoke = True
    grows_topics = resets_none = tells_fenced = True

    def metadata(self):
        found = AdminClient({"bootstrap.servers": self.bootstrap}).list_topics(timeout=10)
        return {
            "brokers": [f"{b.host}:{b.port}" for b in found.brokers.values()],
            "topics": {name: len(t.partitions) for name, t in found.topics.items()},
        }

    def create_topic(self, topic, partitions):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for done in admin.create_topics([NewTopic(topic, partitions, 1)]).values():
            done.result(10)

    def grow_topic(self, topic, partitions):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for done in admin.create_partitions([NewPartitions(topic, partitions)]).values():
            done.result(10)

    def delete_topic(self, topic):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for done in admin.delete_topics([topic]).values():
            done.result(10)

    def configs(self, topic):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        (found,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic)]).values()
        return {name: entry.value for name, entry in found.result(10).items()}

    def configure(self, topic, name, value):
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        if AlterConfigOpType:
            entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            changed = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
            answers = admin.incremental_alter_configs([changed])
        else:
            answers = admin.alter_configs([ConfigResource(ConfigResource.Type.TOPIC, topic, {name: value})])
        for done in answers.values():
            done.result(10)

    def produce(self, topic, records, acks="all", codec="none", idempotent=False):
        errors = []
        producer = Producer(
            {
                "bootstrap.servers": self.bootstrap,
                "acks": ACKS[acks],
                "compression.type": codec,
                "enable.idempotence": idempotent,
                "linger.ms": 1,
            }
        )
        for r in records:
            producer.produce(
                topic,
                r.value,
                r.key,
                r.partition,
                headers=list(r.headers),
                on_delivery=lambda error, _: error and errors.append(error),
            )
        assert producer.flush(20) == 0 and not errors, errors

    def consume(self, topic, partition, start, count):
        only = isinstance(start, tuple) and start[0] == "only"
        consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "alone",
                "enable.auto.commit": False,
                "auto.offset.reset": "error" if only else "earliest",
                "fetch.wait.max.ms": 100,
            }
        )
        place = TopicPartition(topic, partition, 0)
        if only:
            place.offset = start[1]
        elif isinstance(start, tuple):
            place.offset = start[1]
            place = consumer.offsets_for_times([place], timeout=10)[0]
        elif start != "earliest":
            place.offset = start
        consumer.assign([place])
        records = []
        while len(records) < count:
            messages = consumer.consume(count - len(records), 10)
            assert messages and not any(m.error() for m in messages), [str(m.error()) for m in messages]
            records += [record_of(m) for m in messages]
        consumer.close()
        return records

    def join(self, group, topic, **options):
        return ConfluentMember(self.bootstrap, group, topic, **options)
