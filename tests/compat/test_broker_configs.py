"""Configs of the broker, changed while it runs: taken, refused and shown as Apache Kafka does, in its words."""

import pytest
from raw import call
from support.server import wait_for

SET, DELETE, APPEND, SUBTRACT = range(4)
BROKER = 4


@pytest.fixture(scope="module")
def node(brokers):
    found = call(brokers["external"], "Metadata", 9, topics=[], allow_auto_topic_creation=False)
    return str(found.brokers[0].node_id)


def alter(bootstrap, level, *changes, validate_only=True):
    configs = [{"name": n, "config_operation": op, "value": v} for n, op, v in changes]
    rows = [{"resource_type": BROKER, "resource_name": level, "configs": configs}]
    row = call(bootstrap, "IncrementalAlterConfigs", 1, resources=rows, validate_only=validate_only).responses[0]
    return row.error_code, row.error_message


def shown(bootstrap, level, name):
    rows = [{"resource_type": BROKER, "resource_name": level, "configuration_keys": [name]}]
    configs = call(bootstrap, "DescribeConfigs", 4, resources=rows, include_synonyms=True).results[0].configs
    return [(c.value, c.config_source, c.config_type, c.read_only, c.is_sensitive, len(c.synonyms)) for c in configs]


THREADS = "Dynamic thread count update validation failed for %s=%d, value should %s the current value %d"
WRAPPED = (
    "Invalid value org.apache.kafka.common.config.ConfigException: %s for configuration Invalid dynamic configuration"
)


@pytest.mark.parametrize("all_nodes", [False, True], ids=["its", "all"])
def test_broker_configs__what_cannot_be_is_refused_in_kafkas_words(bootstrap, node, all_nodes):
    cases = [
        ([("background.threads", SET, "20")], 0, None),
        (
            [("background.threads", SET, "21")],
            42,
            WRAPPED % (THREADS % ("background.threads", 21, "not be greater than double", 10)),
        ),
        (
            [("background.threads", SET, "4")],
            42,
            WRAPPED % (THREADS % ("background.threads", 4, "be at least half", 10)),
        ),
        (
            [("background.threads", SET, "0")],
            42,
            "Invalid value 0 for configuration background.threads: Value must be at least 1",
        ),
        (
            [("log.cleaner.threads", SET, "3")],
            42,
            WRAPPED % "Log cleaner threads cannot be increased to more than double the current value 1",
        ),
        ([("log.cleaner.threads", SET, "0")], 42, "/ by zero"),
        ([("log.retention.ms", SET, "-2")], 0, None),
        (
            [("log.retention.ms", SET, "0")],
            42,
            "requirement failed: log.retention.ms must be unlimited (-1) or, greater than or equal to 1",
        ),
        ([("log.roll.ms", SET, "0")], 42, "requirement failed: log.roll.ms must be greater than or equal to 1"),
        (
            [("log.retention.ms", APPEND, "1")],
            40,
            "Config value append is not allowed for config key: log.retention.ms",
        ),
        ([("custom", SUBTRACT, "1")], 40, "Unknown config name: custom"),
        (
            [("num.partitions", SET, "1"), ("broker.id", SET, "1"), ("log.retention.ms", SET, "x")],
            42,
            "Cannot update these configs dynamically: [num.partitions, broker.id]",
        ),
        (
            [("ssl.keystore.location", SET, "/x")],
            42,
            "These security configs can be dynamically updated only per-listener using the listener prefix: "
            "[ssl.keystore.location]",
        ),
        (
            [("follower.replication.throttled.rate", SET, "-1")],
            42,
            "Invalid value -1 for configuration follower.replication.throttled.rate: Value must be at least 0",
        ),
        ([("custom", SET, None), ("", SET, None)], 42, "Null value not supported for : custom, "),
    ]
    for changes, code, message in cases:
        assert alter(bootstrap, "" if all_nodes else node, *changes) == (code, message)


@pytest.mark.parametrize("all_nodes", [False, True], ids=["its", "all"])
def test_broker_configs__custom_names_are_kept_and_hidden_rates_are_shown(bootstrap, node, all_nodes):
    level, source = ("", 3) if all_nodes else (node, 2)
    rate = "leader.replication.throttled.rate"
    assert alter(bootstrap, level, ("custom", SET, "secret"), (rate, SET, "7"), validate_only=False) == (0, None)
    wait_for(lambda: shown(bootstrap, node, rate) == [("7", source, 5, False, False, 1)], what="the rate")
    wait_for(lambda: shown(bootstrap, node, "custom") == [(None, source, 0, True, True, 1)], what="the custom name")
    assert alter(bootstrap, level, ("custom", DELETE, None), (rate, DELETE, None), validate_only=False) == (0, None)
    wait_for(lambda: shown(bootstrap, node, "custom") == shown(bootstrap, node, rate) == [], what="their end")


def test_broker_configs__threads_are_doubled_from_what_holds(bootstrap, node):
    name = "background.threads"
    for value in ("20", "40"):
        assert alter(bootstrap, node, (name, SET, value), validate_only=False) == (0, None)
        wait_for(lambda: shown(bootstrap, node, name)[0][0] == value, what=value)
    assert alter(bootstrap, node, (name, SET, "19"))[0] == 42
    assert alter(bootstrap, node, (name, SET, "20"), validate_only=False) == (0, None)
    wait_for(lambda: shown(bootstrap, node, name)[0][0] == "20", what="20")
    assert alter(bootstrap, node, (name, DELETE, None), validate_only=False) == (0, None)
    wait_for(lambda: shown(bootstrap, node, name)[0][0] == "10", what="the default")


@pytest.mark.parametrize("blank", [" %s", "%s ", "%s.0", "x"])
def test_broker_configs__the_name_of_a_node_is_an_integer(bootstrap, node, blank):
    name = blank % node if "%" in blank else blank
    message = f"Node id must be an integer, but it is: {name}"
    assert alter(bootstrap, name, ("log.retention.ms", SET, "5")) == (42, message)
    assert alter(bootstrap, "0" + node, ("log.retention.ms", SET, "5")) == (0, None)
