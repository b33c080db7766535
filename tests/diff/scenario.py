"""What the scenarios share: a list of them, bodies of requests, and batches made by kafka-python."""

from kafka.record.default_records import DefaultRecordBatchBuilder

from .peer import APIS, NOW_MS, Closed, wait_until

SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def versions(api):
    return APIS[api].versions


def make_topic(side, name, partitions=1, configs=()):
    """A topic of this run, ready for use; its id gets a word."""
    topic = side.topic(name)
    rows = [{"Name": key, "Value": value} for key, value in configs]
    row = {"Name": topic, "NumPartitions": partitions, "ReplicationFactor": 1, "Assignments": [], "Configs": rows}
    side.quietly("CreateTopics", 7, {"Topics": [row], "TimeoutMs": 10000})
    side.know(wait_for_topic(side, topic)["TopicId"], f"id of {name}")
    return topic


def wait_for_topic(side, topic):
    """A topic of that whole name is ready for use, some time after Apache Kafka has said that it made it; its row."""

    def is_led():
        answer = side.quietly("Metadata", 12, {"Topics": [{"Name": topic}], "AllowAutoTopicCreation": False})
        found = answer["Topics"][0]
        return None if found["ErrorCode"] or any(p["ErrorCode"] for p in found["Partitions"]) else found

    def is_open():
        rows = [{"PartitionIndex": p["PartitionIndex"], "Timestamp": -1} for p in is_led()["Partitions"]]
        answer = side.quietly("ListOffsets", 5, {"ReplicaId": -1, "Topics": [{"Name": topic, "Partitions": rows}]})
        return not any(p["ErrorCode"] for p in answer["Topics"][0]["Partitions"])

    wait_until(lambda: is_led() and is_open(), topic)
    return is_led()


def topic_id(side, name):
    answer = side.quietly("Metadata", 12, {"Topics": [{"Name": side.topic(name)}], "AllowAutoTopicCreation": False})
    return answer["Topics"][0]["TopicId"]


def batch(values=(b"a",), codec=0, producer=(-1, -1, -1), timestamp=NOW_MS, transactional=False):
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=codec,
        is_transactional=transactional,
        producer_id=producer[0],
        producer_epoch=producer[1],
        base_sequence=producer[2],
        batch_size=1 << 20,
    )
    for i, value in enumerate(values):
        builder.append(i, timestamp=timestamp, key=b"k", value=value, headers=[("h", b"v")])
    return bytes(builder.build())


def produce_body(side, name, records, partition=0, acks=-1, topic=None, version=9, transactional_id=None):
    row = {"Name": topic or side.topic(name), "PartitionData": [{"Index": partition, "Records": records}]}
    if version >= 13:
        row["TopicId"] = topic_id(side, name)
    return {"TransactionalId": transactional_id, "Acks": acks, "TimeoutMs": 5000, "TopicData": [row]}


def coordinate(side, group):
    """Wait until the group's coordinator serves it."""

    def serves():
        answer = side.quietly("OffsetFetch", 5, {"GroupId": group, "Topics": []})
        return answer["ErrorCode"] == 0

    try:
        side.quietly("FindCoordinator", 0, {"Key": group})
        wait_until(serves, f"the coordinator of {group}")
    except Closed:
        pass


def new_producer(side):
    """A producer id; a broker that has just begun has none at once."""

    def drawn():
        answer = side.quietly("InitProducerId", 4, {"TransactionalId": None, "TransactionTimeoutMs": 1000})
        return answer if answer["ErrorCode"] == 0 else None

    wait_until(drawn, "a producer id")
    return drawn()["ProducerId"]
