"""Clients of other languages: a process that takes one command a line and answers one line of JSON.

A command is VERB and NAME=VALUE, tabs between them. A record is PARTITION;KEY;VALUE;HEADERS, bytes in base64, "-" where
there are none, a header NAME:VALUE, commas between them. So a driver needs no parser of JSON, only a writer.

    metadata | create topic partitions | grow topic partitions | delete topic
    configs topic | configure topic name value
    produce topic acks codec idempotent record… | consume topic partition start count
    join member group topic [instance] [cooperative] [commit_on_revoke] | poll member | commit member | leave member
"""

import base64
import hashlib
import json
import os
import pathlib
import select
import subprocess

from support.server import CACHE

from . import Client, Member, Record

HERE = pathlib.Path(__file__).resolve().parent


def pack(octets):
    return "-" if octets is None else base64.b64encode(octets).decode()


def unpack(text):
    return None if text is None else base64.b64decode(text)


def record_of(found):
    headers = tuple((name, unpack(value)) for name, value in found["headers"])
    return Record(
        unpack(found["value"]), unpack(found["key"]), headers, found["partition"], found["offset"], found["timestamp"]
    )


def java_command(name, folder="java"):
    """Starts the program java/NAME.java over the jars in FOLDER below .cache/, compiled once for each text of it."""
    libs = f"{CACHE / folder / 'libs'}/*"
    source = HERE.parent / f"java/{name}.java"
    classes = CACHE / folder / ("classes-" + hashlib.sha256(source.read_bytes()).hexdigest()[:12])
    if not classes.exists():
        # A folder half filled by a compiler that was ended is never taken for a whole one.
        fresh = classes.with_suffix(".new")
        subprocess.run(["javac", "-cp", libs, "-d", str(fresh), str(source)], check=True, timeout=120)
        fresh.rename(classes)
    options = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-Xmx256m"]
    return ["java", *options, "-cp", f"{classes}:{libs}", name]


class RemoteMember(Member):
    def __init__(self, client, group, topic, options):
        super().__init__()
        self.client = client
        client.members += 1
        self.name = str(client.members)
        client.ask("join", member=self.name, group=group, topic=topic, **options)

    def poll(self):
        answer = self.client.ask("poll", member=self.name)
        self.records += [record_of(found) for found in answer["records"]]
        self.assignment = set(answer["assignment"])
        self.revoked += answer.get("revoked", [])

    def commit(self):
        self.client.ask("commit", member=self.name)

    def leave(self):
        self.client.ask("leave", member=self.name)

    def vanish(self):
        self.client.process.kill()


class Remote(Client):
    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.members = 0
        self.process = subprocess.Popen(
            self.start_command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=dict(os.environ, NODE_PATH=str(CACHE / "node/node_modules")),
        )

    def start_command(self):
        raise NotImplementedError

    def ask(self, verb, *more, **arguments):
        words = [verb, *(f"{name}={value}" for name, value in arguments.items()), *more]
        self.process.stdin.write("\t".join(words) + "\n")
        self.process.stdin.flush()
        assert select.select([self.process.stdout], [], [], 60)[0], f"no answer to {verb}"
        line = self.process.stdout.readline()
        assert line, f"the client ended at {verb}"
        answer = json.loads(line)
        assert "error" not in answer, f"{verb}: {answer['error']}"
        return answer

    def another(self):
        return type(self)(self.bootstrap)

    def metadata(self):
        return self.ask("metadata")

    def create_topic(self, topic, partitions):
        self.ask("create", topic=topic, partitions=partitions)

    def grow_topic(self, topic, partitions):
        self.ask("grow", topic=topic, partitions=partitions)

    def delete_topic(self, topic):
        self.ask("delete", topic=topic)

    def configs(self, topic):
        return self.ask("configs", topic=topic)["configs"]

    def configure(self, topic, name, value):
        self.ask("configure", topic=topic, name=name, value=value)

    def produce(self, topic, records, acks="all", codec="none", idempotent=False):
        packed = []
        for r in records:
            headers = ",".join(f"{name}:{pack(value)}" for name, value in r.headers)
            packed.append(f"record={r.partition};{pack(r.key)};{pack(r.value)};{headers}")
        self.ask("produce", *packed, topic=topic, acks=acks, codec=codec, idempotent=str(idempotent).lower())

    def consume(self, topic, partition, start, count):
        start = f"{start[0]}:{start[1]}" if isinstance(start, tuple) else start
        answer = self.ask("consume", topic=topic, partition=partition, start=start, count=count)
        return [record_of(found) for found in answer["records"]]

    def join(self, group, topic, **options):
        return RemoteMember(self, group, topic, options)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Kafkajs(Remote):
    """kafkajs 2.2.4. It brings gzip only; two more are added as its own documentation tells. No LZ4 in JavaScript
    is one that Kafka takes: lz4js writes frames of dependent blocks."""

    codecs = ("none", "gzip", "snappy", "zstd")
    grows_topics = True

    def start_command(self):
        return [str(CACHE / "venv/bin/node"), str(HERE / "kafkajs_client.js"), self.bootstrap]


class Java(Remote):
    """Apache's own client."""

    static_members = cooperative = commits_on_revoke = True
    grows_topics = resets_none = tells_fenced = True

    def start_command(self):
        return java_command("KafkaClient") + [self.bootstrap]
