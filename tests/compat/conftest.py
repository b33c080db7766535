"""The address is a parameter, so that the very same suite can face any Kafka broker.

scripts/test e2e tests/compat                                  our own server, both listeners
scripts/test e2e tests/compat --bootstrap HOST:PORT            another broker
"""

import itertools

import pytest
from support.server import Eventbox

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def brokers(request, tmp_path_factory):
    """Addresses by listener name."""
    given = request.config.getoption("--bootstrap")
    if given:
        yield {"external": given, "internal": given}
        return
    server = Eventbox(tmp_path_factory.mktemp("compat") / "data", modules="broker")
    server.start()
    yield {"external": f"127.0.0.1:{server.external}", "internal": f"127.0.0.1:{server.internal}"}
    server.close()


@pytest.fixture
def bootstrap(brokers):
    return brokers["external"]


@pytest.fixture
def topic(request):
    """A name that no other test uses."""
    import os

    return f"compat-{os.getpid()}-{next(_numbers)}"
