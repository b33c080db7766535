"""A new topic is there, whole, the moment its creation is acknowledged (G63). Apache Kafka has a gap of milliseconds in
which clients are told 3 or 6, so this is for our server alone."""

import pytest
from support.kafka_wire import Peer
from support.record_batch import batch

PARTITIONS = 8


def create(peer, name):
    topic = {"Name": name, "NumPartitions": PARTITIONS, "ReplicationFactor": 1, "Assignments": [], "Configs": []}
    assert peer.ask("CreateTopics", 7, Topics=[topic], TimeoutMs=20000)["Topics"][0]["ErrorCode"] == 0


def first_use(peer, name):
    found = peer.ask("Metadata", 9, Topics=[{"Name": name}], AllowAutoTopicCreation=True)["Topics"][0]
    assert (found["ErrorCode"], {p["ErrorCode"] for p in found["Partitions"]}) == (0, {0})


@pytest.mark.parametrize("make", [create, first_use])
def test_new_topic__answers_on_all_partitions_at_once_G63(eventbox, make):
    with Peer(eventbox.bootstrap) as maker, Peer(f"127.0.0.1:{eventbox.internal}") as user:
        for n in range(20):
            name, count = f"{make.__name__}-{n}", PARTITIONS if make is create else 4
            make(maker, name)
            every = range(count)
            rows = [{"PartitionIndex": p, "Timestamp": -1} for p in every]
            listed = user.ask("ListOffsets", 6, ReplicaId=-1, Topics=[{"Name": name, "Partitions": rows}])
            assert [(p["ErrorCode"], p["Offset"]) for p in listed["Topics"][0]["Partitions"]] == [(0, 0)] * count
            rows = [{"Index": p, "Records": batch()} for p in every]
            data = [{"Name": name, "PartitionData": rows}]
            made = user.ask("Produce", 9, Acks=-1, TimeoutMs=9000, TopicData=data)
            rows = made["Responses"][0]["PartitionResponses"]
            assert [(p["ErrorCode"], p["BaseOffset"]) for p in rows] == [(0, 0)] * count
            rows = [{"Partition": p, "PartitionMaxBytes": 1 << 20} for p in every]
            topics = [{"Topic": name, "Partitions": rows}]
            read = user.ask("Fetch", 11, MaxWaitMs=0, MaxBytes=1 << 20, SessionEpoch=-1, Topics=topics)
            rows = read["Responses"][0]["Partitions"]
            assert [(p["ErrorCode"], p["HighWatermark"]) for p in rows] == [(0, 1)] * count
