"""Stock Kafka clients behind one small interface, so that one suite drives them all.

A driver is made with the address of a broker and does what its client does, in that client's own way:

    metadata()                             {"brokers": ["host:port", ...], "topics": {name: partitions}}
    create_topic(topic, partitions), delete_topic(topic); where it creates_topics
    grow_topic(topic, partitions)          has so many partitions from now on; where it can (grows_topics)
    configs(topic)                         {name: value}, configure(topic, name, value); where it has_configs
    produce(topic, records, acks, codec, idempotent)
    consume(topic, partition, start, count)   start: "earliest", an offset, or ("time", milliseconds);
                                           ("only", offset) must be there, else it fails; where it can (resets_none);
                                           so must the topic (knows_unknown)
    join(group, topic)                     a Member, which is polled until what a test waits for is there
        instance="name"                    a static member; where the client has them (static_members)
        cooperative=True                   the cooperative-sticky assignor; where the client has it (cooperative)
        commit_on_revoke=True              commits when its partitions are taken; where it can (commits_on_revoke)
    close()
"""

import dataclasses


@dataclasses.dataclass
class Record:
    value: bytes | None
    key: bytes | None = None
    headers: tuple = ()  # of (name, bytes or None)
    partition: int = 0  # -1 lets the client's own partitioner choose
    offset: int | None = None  # of a consumed record
    timestamp: int | None = None


class Member:
    """One member of a consumer group. poll() gives the client a moment and gathers what has come."""

    def __init__(self):
        self.records = []
        self.assignment = set()
        self.revoked = []  # every partition that was taken from it, in order; where the client tells

    def poll(self):
        raise NotImplementedError

    def commit(self):
        """Commit what was polled."""
        raise NotImplementedError

    def leave(self):
        raise NotImplementedError

    def vanish(self):
        """End without a word to the group, as a static member does that means to come back."""
        self.leave()


class Client:
    codecs = ("none", "gzip", "snappy", "lz4", "zstd")
    creates_topics = has_configs = True
    tells_config_faults = True  # why a config is refused
    groups = commits = True  # commits when it is told to
    idempotent = True  # else a plain producer does what is asked of one
    static_members = cooperative = commits_on_revoke = False
    grows_topics = resets_none = False
    tells_put_out = True  # a commit of who is no member any more fails, rather than waits until it is one again
    tells_bad_names = True  # the refusal of a topic's name, rather than that time is up
    knows_unknown = False  # reading a topic that is not there fails at once, and does not make it
    tells_fenced = False  # a member hears that another took its name

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap

    def another(self):
        """One more of the kind, in a process of its own where it is one."""
        return self

    def close(self):
        pass
