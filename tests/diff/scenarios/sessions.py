"""Fetch sessions: what each request of a session changes in it, and what the next one is told."""

import uuid

from ..peer import wait_until
from ..scenario import batch, make_topic, produce_body, scenario, topic_id, versions

FIRST, BY_ID = 7, 13
ALL = 1 << 20


class Session:
    """The requests of one session on one side; each counts the epoch up where it is answered without an error."""

    def __init__(self, side, version, label):
        self.side, self.version, self.label = side, version, label
        self.id, self.epoch, self.count = 0, 0, 0

    def topic(self, name, partitions, id=None):
        row = {"Topic": self.side.topic(name), "Partitions": partitions}
        if self.version >= BY_ID:
            row["TopicId"] = id or self.side.ids[name]
        return row

    def wanted(self, name, rows, id=None):
        """`rows`: (partition, offset, more fields)"""
        most = {"PartitionMaxBytes": ALL}
        return self.topic(name, [{"Partition": p, "FetchOffset": o, **most, **f} for p, o, f in rows], id)

    def ask(self, what, topics=(), forgotten=(), version=None, **more):
        body = {"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": ALL, "SessionId": self.id, "SessionEpoch": self.epoch}
        body |= {"Topics": list(topics), "ForgottenTopicsData": list(forgotten), **more}
        self.count += 1
        label = f"{self.label} {self.count}, {what}:"
        answer = self.side.ask(label, "Fetch", version or self.version, body)
        if answer and answer["ErrorCode"] == 0:
            if body["SessionEpoch"] == 0 and answer["SessionId"]:
                self.id, self.epoch = answer["SessionId"], 1
                self.side.know(self.id, f"session {self.label}")
            elif body["SessionEpoch"] == self.epoch:
                self.epoch += 1
        return answer

    def close(self):
        body = {"MaxWaitMs": 0, "MinBytes": 0, "SessionId": self.id, "SessionEpoch": -1, "Topics": []}
        self.side.quietly("Fetch", self.version, body)


def fetch_versions():
    return [v for v in versions("Fetch") if v >= FIRST]


def prepare(side, name, partitions=2, records=2):
    make_topic(side, name, partitions)
    side.ids = getattr(side, "ids", {}) | {name: topic_id(side, name)}
    for partition in range(partitions):
        for i in range(records):
            side.quietly("Produce", 9, produce_body(side, name, batch((b"%d" % i * 50,)), partition))


def delete(side, name):
    side.quietly("DeleteTopics", 5, {"TopicNames": [side.topic(name)], "TimeoutMs": 10000})
    row = {"Name": side.topic(name), "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}

    def is_gone():
        answer = side.quietly("ListOffsets", 5, {"ReplicaId": -1, "Topics": [row]})
        asked = {"Topics": [{"Name": side.topic(name)}], "AllowAutoTopicCreation": False}
        told = side.quietly("Metadata", 9, asked)["Topics"][0]["ErrorCode"]
        return answer["Topics"][0]["Partitions"][0]["ErrorCode"] == 3 and told == 3

    wait_until(is_gone, f"the end of {name}")


@scenario
def sessions_change(side):
    prepare(side, "a")
    prepare(side, "b", 1)
    side.ids["none"] = uuid.UUID(int=9)
    for version in fetch_versions():
        s = Session(side, version, f"change {version}")
        both = [s.wanted("a", [(0, 0, {}), (1, 0, {})])]
        s.ask("opens", both)
        s.ask("has nothing new to name")
        s.ask("moves on", [s.wanted("a", [(0, 2, {}), (1, 2, {})])])
        s.ask("nothing new")
        s.ask("a topic more", [s.wanted("b", [(0, 1, {})])])
        s.ask("its place twice", [s.wanted("b", [(0, 0, {}), (0, 2, {})])])
        s.ask("its topic twice", [s.wanted("b", [(0, 0, {})]), s.wanted("b", [(0, 1, {})])])
        s.ask("still there")
        s.ask("forgets and adds it", [s.wanted("b", [(0, 0, {})])], [s.topic("b", [0])])
        s.ask("is it there?")
        s.ask("forgets what it has not", (), [s.topic("b", [0, 7]), s.topic("none", [0])])
        s.ask("forgets one twice", (), [s.topic("a", [1, 1])])
        s.ask("adds a wrong partition", [s.wanted("a", [(9, 0, {}), (-1, 0, {})])])
        s.ask("is told of it again")
        s.ask("out of range", [s.wanted("a", [(0, 77, {})])])
        s.ask("out of range still")
        s.ask("forgets the wrong ones", (), [s.topic("a", [9, -1])])
        s.ask("back in range", [s.wanted("a", [(0, 1, {})])])
        s.ask("forgets all", (), [s.topic("a", [0])])
        s.ask("is over with that")
        s.close()


@scenario
def sessions_by_epoch(side):
    prepare(side, "a")
    for version in fetch_versions():
        s = Session(side, version, f"epochs {version}")
        all_of_a = [s.wanted("a", [(0, 0, {}), (1, 0, {})])]
        s.ask("no session", all_of_a, SessionEpoch=-1)
        s.ask("no session, of a number", all_of_a, SessionId=999, SessionEpoch=-1)
        s.ask("full, of a number", all_of_a, SessionId=999, SessionEpoch=0)
        s.ask("again full", all_of_a)
        for epoch in (0x7FFFFFFF, -2, 7):
            s.ask(f"epoch {epoch}", SessionEpoch=epoch)
        s.ask("goes on all the same")
        s.ask("epoch of before", SessionEpoch=1)
        s.ask("no number but an epoch", SessionId=0)
        s.ask("negative number", SessionId=-5)
        old = s.id
        s.epoch = 0
        s.ask("begins anew by its number", all_of_a)
        s.ask("the old one", SessionId=old, SessionEpoch=2)
        other = version + 1 if version + 1 in versions("Fetch") else version - 1
        if (other >= BY_ID) != (version >= BY_ID):
            s.ask("by the other kind of name", version=other)
            s.ask("and back")
        s.ask("is closed", all_of_a, SessionEpoch=-1)
        s.ask("is closed")
        s.ask("closed again", SessionEpoch=-1)
        s.id = s.epoch = 0
        s.ask("nothing to fetch")
        s.ask("goes on with nothing")
        s.ask("gets something", all_of_a)
        s.close()


@scenario
def sessions_and_errors(side):
    prepare(side, "a")
    side.ids["never"] = uuid.UUID(int=77)
    for version in fetch_versions():
        s = Session(side, version, f"errors {version}")
        rows = [(0, 0, {"CurrentLeaderEpoch": 1}), (1, 0, {"CurrentLeaderEpoch": 0})]
        s.ask("epochs", [s.wanted("a", rows)] if version >= 9 else [s.wanted("a", [(0, 9, {}), (1, 0, {})])])
        s.ask("epochs again")
        s.ask("older epoch", [s.wanted("a", [(1, 0, {"CurrentLeaderEpoch": -2})])])
        s.ask("fetched epoch", [s.wanted("a", [(1, 0, {"LastFetchedEpoch": 1})])])
        s.ask("of an epoch that ended", [s.wanted("a", [(1, 5, {"LastFetchedEpoch": 0})])])
        s.ask("and right", [s.wanted("a", [(0, 1, {}), (1, 1, {})])])
        s.ask("never heard of", [s.wanted("never", [(0, 0, {}), (1, 0, {})])])
        s.ask("never heard of, told again")
        s.ask("forgets it", (), [s.topic("never", [0, 1])])
        s.ask("wrong level", IsolationLevel=5)
        s.ask("committed", IsolationLevel=1)
        s.ask("without bytes", MaxBytes=0)
        s.ask("negative bytes", MaxBytes=-1)
        s.ask("negative bytes of one", [s.wanted("a", [(0, 0, {"PartitionMaxBytes": -1})])])
        s.ask("that is kept")
        if version < BY_ID:
            long = [{"Topic": "x" * size, "Partitions": [{"Partition": 0}]} for size in (250, 251, 1000)]
            s.ask("names that are too long", long)
            s.ask("which are told again")
            s.ask("but for one", (), [{"Topic": "x" * 251, "Partitions": [0]}])
        s.close()


@scenario
def sessions_take_turns(side):
    """Bytes for one partition at a time: who was served goes behind the others."""
    prepare(side, "a", 3, 2)
    for version in fetch_versions():
        for most in (1, 140, 200, 300):
            s = Session(side, version, f"turns of {most}, {version}")
            s.ask("opens", [s.wanted("a", [(2, 0, {}), (0, 0, {}), (1, 0, {})])], MaxBytes=most)
            for turn in range(4):
                s.ask(f"turn {turn}", MaxBytes=most)
            s.ask("one is asked for anew", [s.wanted("a", [(2, 1, {})])], MaxBytes=most)
            s.ask("and then", MaxBytes=most)
            s.close()


@scenario
def sessions_and_the_log(side):
    """New records, a new log start, a topic deleted, made anew, and made only later."""
    for version in fetch_versions():
        name = f"log{version}"
        prepare(side, name)
        s = Session(side, version, f"log {version}")
        s.ask("opens", [s.wanted(name, [(0, 2, {}), (1, 2, {})])])
        side.quietly("Produce", 9, produce_body(side, name, batch((b"new",))))
        s.ask("a record is new")
        s.ask("the same again")
        row = {"Name": side.topic(name), "Partitions": [{"PartitionIndex": 1, "Offset": 1}]}
        side.quietly("DeleteRecords", 2, {"Topics": [row], "TimeoutMs": 10000})
        s.ask("a record is deleted")
        s.ask("that is told once", [s.wanted(name, [(0, 3, {})])])
        s.ask("below the start", [s.wanted(name, [(1, 0, {})])])
        s.ask("that is told again", [s.wanted(name, [(1, 0, {})])])
        delete(side, name)
        s.ask("the topic is gone")
        s.ask("the topic is gone still")
        old = side.ids[name]
        prepare(side, name, 1)
        s.ask("there is another of its name")
        s.ask("there is another still")
        s.ask("forgets the old", (), [s.topic(name, [0, 1], old)])
        s.ask("forgotten", [s.wanted(name, [(0, 0, {})])])
        s.close()
        if version < BY_ID:
            late = Session(side, version, f"late {version}")
            late.ask("not there yet", [late.wanted(f"late{version}", [(0, 0, {})])])
            prepare(side, f"late{version}", 1)
            late.ask("there now")
            late.ask("told once", [late.wanted(f"late{version}", [(0, 2, {})])])
            late.close()
