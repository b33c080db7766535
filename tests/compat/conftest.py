"""The address is a parameter, so that the very same suite can face any Kafka broker.

    scripts/test e2e tests/compat                                  our own server, both listeners
    scripts/test e2e tests/compat --bootstrap HOST:PORT [--bootstrap-internal HOST:PORT]    another broker
    scripts/interop                                                the clients that need toolchains of their own

A test that takes `client` runs once for each client and listener; one that also takes `codec`, once for each codec.
Marks are abilities of clients (clients/__init__.py): a test with one runs for those that have it. One that takes
`member_client` runs once for each client, since groups care for no listener.
"""

import secrets

import pytest
from clients import Client, interop
from clients.confluent import Confluent
from clients.kafka_python import KafkaPython
from clients.kcat import Kcat
from clients.remote import Java, Kafkajs
from raw import create_topic
from support.server import Eventbox

CLIENTS = {"kcat": Kcat, "confluent": Confluent, "kafka_python": KafkaPython, "kafkajs": Kafkajs, "java": Java}
ALL = CLIENTS | interop.CLIENTS


def chosen(config):
    """Names of the clients that --clients asks for; the quick ones by default."""
    asked = config.getoption("--clients")
    names = list(CLIENTS) if not asked else list(interop.CLIENTS) if asked == "interop" else asked.split(",")
    without = config.getoption("--without").split(",")
    return [name for name in names if name not in without]


def pytest_generate_tests(metafunc):
    wanted = {"client", "member_client"} & set(metafunc.fixturenames)
    if not wanted:
        return
    able = [mark.name for mark in metafunc.definition.iter_markers() if hasattr(Client, mark.name)]
    names = [name for name in chosen(metafunc.config) if all(getattr(ALL[name], ability) for ability in able)]
    if "member_client" in wanted:
        metafunc.parametrize("member_client", [(name, "external") for name in names], indirect=True, ids=names)
        return
    if "codec" in metafunc.fixturenames:
        # What is compressed does not depend on the listener.
        pairs = [((name, "external"), codec) for name in names for codec in ALL[name].codecs]
        metafunc.parametrize("client,codec", pairs, indirect=["client"], ids=[f"{p[0][0]}-{p[1]}" for p in pairs])
        return
    listeners = ["external", "internal"]
    if metafunc.config.getoption("--bootstrap") and not metafunc.config.getoption("--bootstrap-internal"):
        listeners = ["external"]
    pairs = [(name, listener) for name in names for listener in listeners]
    metafunc.parametrize("client", pairs, indirect=True, ids=["-".join(pair) for pair in pairs])


@pytest.fixture(scope="session")
def brokers(request, tmp_path_factory):
    """Addresses by listener name."""
    given = request.config.getoption("--bootstrap")
    if given:
        yield {"external": given, "internal": request.config.getoption("--bootstrap-internal") or given}
        return
    server = Eventbox(tmp_path_factory.mktemp("compat") / "data", modules="broker")
    server.start()
    yield {"external": f"127.0.0.1:{server.external}", "internal": f"127.0.0.1:{server.internal}"}
    server.close()


@pytest.fixture
def bootstrap(brokers):
    return brokers["external"]


@pytest.fixture
def topic():
    """A name that no broker has seen: one that is not ours lives on after the tests."""
    return "compat-" + secrets.token_hex(6)


@pytest.fixture
def ready(bootstrap, topic):
    """A topic with four partitions that all answer. Of one that a client makes by using it, Kafka tells errors for a
    moment, and what a producer that is not idempotent sends again then, it may write twice (G63)."""
    create_topic(bootstrap, topic, 4)
    return topic


@pytest.fixture(scope="session")
def clients(brokers):
    """Drivers by name and listener, each made at its first use and kept: a Java machine takes its time to start."""
    made = {}

    def find(name, listener):
        if (name, listener) not in made:
            made[name, listener] = ALL[name](brokers[listener])
        return made[name, listener]

    yield find
    for client in made.values():
        client.close()


@pytest.fixture
def client(request, clients):
    return clients(*request.param)


@pytest.fixture
def member_client(request, clients):
    return clients(*request.param)


@pytest.fixture
def other(clients):
    """A second client, to read what the first wrote."""
    return clients("confluent", "external")
