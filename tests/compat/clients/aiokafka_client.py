"""aiokafka as a process. usage: python aiokafka_client.py HOST:PORT"""

import asyncio
import sys

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code
from python_process import serve, written

BOOTSTRAP = sys.argv[1]
PATIENCE_S = 20
members = {}
loop = asyncio.new_event_loop()


class Owned(ConsumerRebalanceListener):
    def __init__(self):
        self.partitions, self.revoked = set(), []
        self.consumer, self.commits = None, False

    async def on_partitions_revoked(self, revoked):
        if self.commits and revoked:
            await self.consumer.commit()
        self.partitions -= {p.partition for p in revoked}
        self.revoked += sorted(p.partition for p in revoked)

    def on_partitions_assigned(self, assigned):
        self.partitions |= {p.partition for p in assigned}


async def with_admin(use):
    admin = AIOKafkaAdminClient(bootstrap_servers=BOOTSTRAP)
    await admin.start()
    try:
        return await use(admin)
    finally:
        await admin.close()


async def metadata(_):
    async def ask(admin):
        cluster = await admin.describe_cluster()
        topics = await admin.describe_topics()
        return {
            "brokers": [f"{b['host']}:{b['port']}" for b in cluster["brokers"]],
            "topics": {t["topic"]: len(t["partitions"]) for t in topics},
        }

    return await with_admin(ask)


async def create(given):
    async def ask(admin):
        answer = await admin.create_topics([NewTopic(given["topic"], int(given["partitions"]), 1)])
        for _, code, message in answer.topic_errors:
            if code == 36:
                raise RuntimeError(f"the topic exists: {message}")
            assert code == 0, (code, message)
        return {}

    return await with_admin(ask)


def checked(row):
    """Rows of its answers begin so; it leaves the errors to the caller."""
    if row[0]:
        raise for_code(row[0])(row[1])
    return row


async def delete(given):
    async def ask(admin):
        for _, code in (await admin.delete_topics([given["topic"]])).topic_error_codes:
            checked((code, given["topic"]))
        return {}

    return await with_admin(ask)


async def grow(given):
    async def ask(admin):
        answer = await admin.create_partitions({given["topic"]: NewPartitions(int(given["partitions"]))})
        for topic, code, message in answer.topic_errors:
            checked((code, message))
        return {}

    return await with_admin(ask)


async def configs(given):
    async def ask(admin):
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, given["topic"])])
        return {"configs": {config[0]: config[1] for config in checked(answer.resources[0])[4]}}

    return await with_admin(ask)


async def configure(given):
    async def ask(admin):
        changed = ConfigResource(ConfigResourceType.TOPIC, given["topic"], {given["name"]: given["value"]})
        (answer,) = await admin.alter_configs([changed])
        checked(answer.resources[0])
        return {}

    return await with_admin(ask)


async def produce(given):
    producer = AIOKafkaProducer(
        bootstrap_servers=BOOTSTRAP,
        acks={"0": 0, "1": 1, "all": "all"}[given["acks"]],
        compression_type=None if given["codec"] == "none" else given["codec"],
        enable_idempotence=given["idempotent"] == "true",
    )
    await producer.start()
    try:
        sent = [
            await producer.send(given["topic"], value, key, partition, headers=headers)
            for partition, key, value, headers in given["records"]
        ]
        await asyncio.wait_for(asyncio.gather(*sent), PATIENCE_S)
    finally:
        await producer.stop()
    return {}


async def consume(given):
    place, start, count = TopicPartition(given["topic"], int(given["partition"])), given["start"], int(given["count"])
    only = start.startswith("only:")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=BOOTSTRAP,
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        auto_offset_reset="none" if only else "latest",
    )
    await consumer.start()
    try:
        consumer.assign([place])
        if start == "earliest":
            await consumer.seek_to_beginning(place)
        elif start.startswith("time:"):
            consumer.seek(place, (await consumer.offsets_for_times({place: int(start[5:])}))[place].offset)
        else:
            consumer.seek(place, int(start.removeprefix("only:")))
        records = [written(await asyncio.wait_for(consumer.getone(place), PATIENCE_S)) for _ in range(count)]
    finally:
        await consumer.stop()
    return {"records": records}


async def join(given):
    owned = Owned()
    consumer = AIOKafkaConsumer(
        bootstrap_servers=BOOTSTRAP,
        group_id=given["group"],
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        heartbeat_interval_ms=200,
        session_timeout_ms=6000,
        group_instance_id=given.get("instance"),
        fetch_max_wait_ms=100,
    )
    owned.consumer, owned.commits = consumer, "commit_on_revoke" in given
    consumer.subscribe([given["topic"]], listener=owned)
    starting = asyncio.ensure_future(consumer.start())  # it waits for the group, and others may have to be polled
    members[given["member"]] = (consumer, owned, starting)
    return {}


async def poll(given):
    consumer, owned, starting = members[given["member"]]
    if not starting.done():
        await asyncio.wait([starting], timeout=0.1)
        return {"records": [], "assignment": []}
    starting.result()
    found = await consumer.getmany(timeout_ms=100)
    return {
        "records": [written(record) for batch in found.values() for record in batch],
        "assignment": sorted(owned.partitions),
        "revoked": [owned.revoked.pop(0) for _ in range(len(owned.revoked))],
    }


async def commit(given):
    await members[given["member"]][0].commit()
    return {}


async def leave(given):
    consumer, _, starting = members.pop(given["member"])
    await asyncio.wait([starting], timeout=PATIENCE_S)
    await consumer.stop()
    return {}


VERBS = (metadata, create, grow, delete, configs, configure, produce, consume, join, poll, commit, leave)


def run(verb):
    return lambda given: loop.run_until_complete(verb(given))


serve({verb.__name__: run(verb) for verb in VERBS})
