"""The clients of the longer suite (scripts/interop), which need a toolchain or an environment of their own. All are
processes; scripts/install interop makes them, below .cache/interop.
"""

from support.server import CACHE

from .remote import HERE, Remote, java_command

INTEROP = CACHE / "interop"


class Franz(Remote):
    """franz-go: the newest version of everything, fetch sessions, idempotent by default."""

    library = "franz"
    static_members = cooperative = commits_on_revoke = True
    grows_topics = resets_none = tells_fenced = True

    def start_command(self):
        return [str(INTEROP / "goclient"), self.library, self.bootstrap]


class Sarama(Franz):
    library = "sarama"
    cooperative = False
    knows_unknown = True


class Segmentio(Franz):
    """segmentio/kafka-go. It has no idempotent producer: what is asked of one is done by a plain one."""

    library = "segmentio"
    static_members = cooperative = commits_on_revoke = idempotent = tells_fenced = False


class Rskafka(Remote):
    """rskafka: pure Rust, without groups and idempotent producers. It sends acks=all whatever is asked."""

    groups = has_configs = idempotent = False
    resets_none = True

    def start_command(self):
        return [str(INTEROP / "rust/release/compat"), self.bootstrap]


class Rdkafka(Remote):
    """The rdkafka crate with the newest librdkafka, built by it. The crate leaves out why a resource's configs were
    refused, and takes no wrong number of partitions."""

    static_members = cooperative = commits_on_revoke = tells_fenced = True
    tells_config_faults = False

    def start_command(self):
        return [str(INTEROP / "rust/release/compat-rdkafka"), self.bootstrap]


class Aiokafka(Remote):
    static_members = commits_on_revoke = grows_topics = resets_none = True
    tells_bad_names = False

    def start_command(self):
        return [str(INTEROP / "venv/bin/python"), str(HERE / "aiokafka_client.py"), self.bootstrap]


class OldKafkaPython(Remote):
    """kafka-python 2.0.2, which guesses the broker's age from the versions that it lists."""

    grows_topics = resets_none = True
    tells_bad_names = False

    def start_command(self):
        return [str(INTEROP / "venv-old/bin/python"), str(HERE / "old_kafka_python_client.py"), self.bootstrap]


class OldConfluent(Remote):
    """librdkafka as Debian has it, 2.0.2, with all that kcat does not do."""

    static_members = cooperative = commits_on_revoke = True
    grows_topics = resets_none = tells_fenced = True

    def start_command(self):
        return [str(INTEROP / "venv-old/bin/python"), str(HERE / "old_confluent_client.py"), self.bootstrap]


class Platformatic(Remote):
    """@platformatic/kafka, which needs the newest versions of most APIs."""

    static_members = grows_topics = resets_none = True
    tells_put_out = False  # it joins again and commits once more by itself

    def start_command(self):
        script = str(HERE / "platformatic_client.mjs")
        return [str(CACHE / "venv/bin/node"), script, self.bootstrap, str(INTEROP / "node")]


class OldJava(Remote):
    """Apache's client of 2021."""

    static_members = cooperative = commits_on_revoke = True
    grows_topics = resets_none = tells_fenced = True

    def start_command(self):
        return java_command("KafkaClient", "interop/java") + [self.bootstrap]


CLIENTS = {
    "franz": Franz,
    "sarama": Sarama,
    "segmentio": Segmentio,
    "rskafka": Rskafka,
    "rdkafka": Rdkafka,
    "aiokafka": Aiokafka,
    "old_kafka_python": OldKafkaPython,
    "old_confluent": OldConfluent,
    "platformatic": Platformatic,
    "old_java": OldJava,
}
