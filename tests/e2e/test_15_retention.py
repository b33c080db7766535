"""Old segments go while clients read and write, and over a kill -9 in between."""

import os
import re
import sqlite3

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from support.kafka_wire import Peer
from support.server import Eventbox, file_size, wait_for

RECORD_BYTES = 64 << 10
RESOURCE_TOPIC = 2


def make_topic(server, name, **configs):
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    settings = {key.replace("_", "."): value for key, value in configs.items()}
    admin.create_topics([NewTopic(name, 1, config=settings)])[name].result(20)


def produce(server, name, count):
    """Records of random bytes, so that no codec makes them smaller; one batch each."""
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all", "linger.ms": 0})
    errors = []
    for _ in range(count):
        producer.produce(name, os.urandom(RECORD_BYTES), on_delivery=lambda e, _: e and errors.append(e))
        producer.flush(20)
    assert errors == []


def consumer_of(server, name):
    consumer = Consumer(
        {
            "bootstrap.servers": server.bootstrap,
            "group.id": "reader",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )
    consumer.assign([TopicPartition(name, 0)])
    return consumer


def watermarks(server, name):
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "watcher"})
    try:
        return consumer.get_watermark_offsets(TopicPartition(name, 0), timeout=10, cached=False)
    finally:
        consumer.close()


def read(consumer, count):
    offsets = []
    while len(offsets) < count:
        for message in consumer.consume(count - len(offsets), timeout=20):
            assert message.error() is None, message.error()
            offsets.append(message.offset())
    return offsets


def segment_bases(server):
    """Base offsets of the files of the topic whose segments are the largest."""
    folders = (server.data / "topics").glob("*-0")
    folder = max(folders, key=lambda f: sum(file_size(p) for p in f.glob("*.log")))
    bases = sorted(int(p.stem) for p in folder.glob("*.log"))
    for path in folder.iterdir():
        assert re.fullmatch(r"\d{20}\.(log|index|timeindex|snapshot)", path.name), path
        assert int(path.stem) in bases or path.suffix != ".log"
    return bases


def test_retention__segments_go_earliest_moves_consumers_go_on_g60(tmp_path):
    server = Eventbox(tmp_path / "data", args=["--broker.retention_check=100ms"], modules="broker").start()
    make_topic(server, "old", segment_bytes="1048576", retention_bytes="3145728")
    produce(server, "old", 100)  # six segments of a MiB

    def log_start():
        """Once all is gone that may go: what stays is less than a segment above the limit."""
        low = watermarks(server, "old")[0]
        return low if (100 - low) * RECORD_BYTES < 3145728 + 1048576 else None

    first = wait_for(log_start, what="a later log start")
    consumer = consumer_of(server, "old")
    offsets = read(consumer, 10)
    assert offsets == list(range(first, first + 10)), "a consumer that asks for earliest begins at the log start"

    server.kill()
    server.start()
    low, high = watermarks(server, "old")
    assert low >= first and high == 100, "a log start that was seen never goes back"
    offsets += read(consumer, 100 - offsets[-1] - 1)
    assert offsets == list(range(first, 100)), "the consumer goes on where it was"
    consumer.close()

    # Two checkpoints later the files are gone: the start above wrote one, a clean stop the next.
    assert server.stop() == 0
    server.start()
    wait_for(lambda: segment_bases(server)[0] == low, what="files of old segments to go")
    kept = 100 - low
    assert kept * RECORD_BYTES >= 3145728 - RECORD_BYTES, "not more went than retention.bytes says"
    produce(server, "old", 40)
    wait_for(lambda: watermarks(server, "old")[0] > low, what="more to go")
    server.close()


def test_retention__by_age_takes_even_the_last_segment(tmp_path):
    server = Eventbox(tmp_path / "data", args=["--broker.retention_check=100ms"], modules="broker").start()
    make_topic(server, "brief", retention_ms="500")
    produce(server, "brief", 3)
    wait_for(lambda: watermarks(server, "brief") == (3, 3), what="an empty log")
    server.kill()
    server.start()
    assert watermarks(server, "brief") == (3, 3), "offsets are never given out twice"
    produce(server, "brief", 1)
    assert wait_for(lambda: watermarks(server, "brief")[1] == 4, what="the next offset")
    server.close()


def tune(server, name, **configs):
    rows = [{"Name": key.replace("_", "."), "ConfigOperation": 0, "Value": value} for key, value in configs.items()]
    with Peer(server.bootstrap) as peer:
        resource = {"ResourceType": RESOURCE_TOPIC, "ResourceName": name, "Configs": rows}
        answer = peer.ask("IncrementalAlterConfigs", 1, Resources=[resource], ValidateOnly=False)
    assert answer["Responses"][0]["ErrorCode"] == 0, answer


def refusal(server, name):
    """The error of one record, None when it was acknowledged."""
    outcome = []
    producer = Producer({"bootstrap.servers": server.bootstrap, "retries": 0})
    producer.produce(name, os.urandom(RECORD_BYTES), partition=0, on_delivery=lambda error, _: outcome.append(error))
    assert producer.flush(20) == 0
    return outcome[0]


def held_bytes(server):
    text = server.user_service("GET", "/metrics").raw.decode()
    return int(re.search(r"^eventbox_log_held_bytes (\d+)$", text, re.M).group(1))


def test_retention__low_disk_and_a_consumer_that_holds_the_log_refuse_produce_and_name_it(make_eventbox):
    """The guard of a consumer in process never yields: somebody else's lock keeps this one from going on."""
    server = make_eventbox(args=["--disk_low_water=1024TiB", "--broker.retention_check=100ms"]).start()
    wait_for(lambda: [x for x in server.log_lines() if x["action"] == "disk_low"], what="the low-water mark")
    tune(server, "notification", retention_bytes="1", internal_segment_bytes=str(2 * RECORD_BYTES))
    assert refusal(server, "notification") is None, "low alone refuses nobody"
    assert held_bytes(server) == 0
    lock = sqlite3.connect(server.data / "eventbox.db", isolation_level=None)
    lock.execute("BEGIN IMMEDIATE")

    error = wait_for(lambda: refusal(server, "notification"), what="a refusal")
    assert error.code() == KafkaError.KAFKA_STORAGE_ERROR, error
    assert refusal(server, "elsewhere").code() == KafkaError.KAFKA_STORAGE_ERROR
    ready = server.user_service("GET", "/readyz")
    assert ready.status == 503
    told = {part["part"]: part for part in ready.json["parts"]}
    assert told["broker"]["state"] == "failed"
    assert re.fullmatch(
        r"the disk fills up and consumer notification-service holds notification-0 from offset \d+ on: "
        r"produce is refused",
        told["broker"]["detail"],
    ), told
    assert held_bytes(server) >= RECORD_BYTES

    lock.close()  # it goes on, what it held goes
    wait_for(lambda: server.user_service("GET", "/readyz").status == 200, what="readiness")
    wait_for(lambda: held_bytes(server) == 0, what="nothing to be held")
    wait_for(lambda: refusal(server, "elsewhere") is None, what="an acknowledgement")
