"""Debian's kcat: librdkafka 2.0.2, from a shell."""

import itertools
import json
import re
import struct
import subprocess
import threading

from support.kafka_wire import Peer
from support.server import wait_for

from . import Client, Member, Record


class KcatMember(Member):
    """`kcat -G`: records on standard output, assignments on standard error; a signal makes it commit and leave, as it
    commits when partitions are taken."""

    def __init__(self, client, group, topic, instance=None, cooperative=False, commit_on_revoke=False):
        super().__init__()
        self.bootstrap, self.group, self.topic, self.member_id = client.bootstrap, group, topic, None
        settings = {
            "auto.offset.reset": "earliest",
            "heartbeat.interval.ms": 200,
            "session.timeout.ms": 6000,
            "fetch.wait.max.ms": 100,
        }
        if instance:
            settings["group.instance.id"] = instance
        if cooperative:
            settings["partition.assignment.strategy"] = "cooperative-sticky"
        options = [word for name, value in settings.items() for word in ("-X", f"{name}={value}")]
        self.process = subprocess.Popen(
            [*client.command, *options, "-u", "-J", "-G", group, topic],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for pipe, take in ((self.process.stdout, self._take_record), (self.process.stderr, self._take_line)):
            threading.Thread(target=self._read, args=(pipe, take), daemon=True).start()

    @staticmethod
    def _read(pipe, take):
        for line in pipe:
            take(line)

    def _take_record(self, line):
        self.records.append(record_of(json.loads(line)))

    def _take_line(self, line):
        """% Group NAME rebalanced (memberid …): assigned: topic [0], topic [1]
        % Group NAME rebalanced: incremental revoke of 1 partition(s) (memberid …, …): topic [0]"""
        if not line.startswith("% Group "):
            return
        if member := re.search(r"\(memberid ([^,)]*)", line):
            self.member_id = member[1]
        places = {int(part.split("]")[0]) for part in line.split(": ")[-1].split("[")[1:]}
        if "incremental assignment" in line:
            self.assignment |= places
        elif "assigned: " in line:
            self.assignment = places
        elif "revoke" in line:
            self.assignment -= places
            self.revoked += sorted(places)

    def poll(self):
        assert self.process.poll() is None, "kcat ended by itself"

    def commit(self):
        pass  # its consumer commits when it closes

    def leave(self):
        # Closed with news of a rebalance that its callback has not seen, librdkafka leaves without waiting for the
        # callback, and can lose the rd_kafka_assign() in it, which then waits forever: its issues 4041 and 4884.
        wait_for(self._knows_its_share, what="a stable group whose assignment kcat has heard")
        self.process.terminate()
        assert self.process.wait(20) == 0

    def _knows_its_share(self):
        with Peer(self.bootstrap) as peer:
            group = peer.ask("DescribeGroups", 5, Groups=[self.group])["Groups"][0]
        given = {m["MemberId"]: partitions_of(m["MemberAssignment"], self.topic) for m in group["Members"]}
        return group["GroupState"] == "Stable" and given.get(self.member_id) == self.assignment


def partitions_of(assignment, topic):
    """What a member got of the only topic: in the bytes, its name is followed by a count and the partitions."""
    rest = assignment.partition(topic.encode())[2]
    return set(struct.unpack_from(f">{struct.unpack_from('>i', rest)[0]}i", rest, 4)) if rest else set()


def record_of(line):
    def octets(text):
        return None if text is None else text.encode()

    names = line.get("headers", [])
    headers = tuple((names[i], octets(names[i + 1])) for i in range(0, len(names), 2))
    return Record(
        octets(line["payload"]), octets(line["key"]), headers, line["partition"], line["offset"], line["ts"]
    )


class Kcat(Client):
    creates_topics = has_configs = commits = False
    static_members = cooperative = commits_on_revoke = resets_none = knows_unknown = True

    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.command = ["kcat", "-b", bootstrap]

    def _run(self, *arguments, stdin=b""):
        done = subprocess.run([*self.command, *arguments], input=stdin, capture_output=True, timeout=30)
        assert done.returncode == 0, f"{arguments}: {done.stderr.decode()}"
        return done.stdout.decode()

    def metadata(self):
        found = json.loads(self._run("-L", "-J"))
        return {
            "brokers": [broker["name"] for broker in found["brokers"]],
            "topics": {t["topic"]: len(t["partitions"]) for t in found["topics"]},
        }

    def produce(self, topic, records, acks="all", codec="none", idempotent=False):
        options = [
            "-P",
            "-t",
            topic,
            "-z",
            codec,
            "-X",
            f"acks={acks}",
            "-X",
            f"enable.idempotence={str(idempotent).lower()}",
        ]
        # One process for each run of records with the same partition and headers.
        for (partition, headers), run in itertools.groupby(records, lambda r: (r.partition, r.headers)):
            lines = b"".join((r.key or b"") + b"\t" + (r.value or b"") + b"\n" for r in run)
            given = []
            for name, value in headers:
                given += ["-H", name if value is None else f"{name}={value.decode()}"]
            try:
                self._run(*options, "-p", str(partition), *given, "-K", "\t", "-Z", stdin=lines)
            except AssertionError as refused:
                # So it says when the broker's refusal of the topic came before the record was given to it.
                if "Local: Unknown topic" not in str(refused):
                    raise
                raise AssertionError(f"{refused}{self._run('-L', '-t', topic)}") from None

    def consume(self, topic, partition, start, count):
        at, options = {"earliest": "beginning"}.get(start, start), []
        if isinstance(start, tuple) and start[0] == "only":
            at, options = start[1], ["-X", "auto.offset.reset=error"]
        elif isinstance(start, tuple):
            at = f"s@{start[1]}"
        options += ["-t", topic, "-p", str(partition), "-o", str(at), "-c", str(count)]
        lines = self._run("-C", "-J", "-q", *options)
        return [record_of(json.loads(line)) for line in lines.splitlines()]

    def join(self, group, topic, **options):
        return KcatMember(self, group, topic, **options)
