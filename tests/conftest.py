"""Fixtures of all Python tests."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.peers.forward import ForwardServer  # noqa: E402
from support.peers.sendgrid import SendGrid  # noqa: E402
from support.server import Eventbox  # noqa: E402


@pytest.fixture
def make_eventbox(tmp_path):
    """Makes servers in data folders of their own; each is stopped and its log looked at in the end."""
    made = []

    def make(name="data", **kw):
        server = Eventbox(tmp_path / name, **kw)
        made.append(server)
        return server

    yield make
    for server in made:
        if server.process:
            server.close()


@pytest.fixture
def eventbox(make_eventbox):
    return make_eventbox().start()


@pytest.fixture
def sendgrid():
    server = SendGrid()
    yield server
    server.close()


@pytest.fixture
def forward():
    server = ForwardServer()
    yield server
    server.stop()
