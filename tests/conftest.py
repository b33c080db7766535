"""Fixtures of all Python tests."""

import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))

from support.peers.forward import ForwardServer  # noqa: E402
from support.peers.sendgrid import SendGrid  # noqa: E402
from support.server import Eventbox  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--bootstrap", metavar="HOST:PORT", help="tests/compat: face this broker, not one of our own")
    parser.addoption("--clients", metavar="NAMES", help="tests/compat: only these; interop: those of scripts/interop")
    parser.addoption("--without", metavar="NAMES", default="", help="tests/compat: leave these clients out")
    parser.addoption("--bootstrap-internal", metavar="HOST:PORT", help="tests/compat: its second listener")


def pytest_configure(config):
    config.addinivalue_line("markers", "creates_topics: for clients that can create a topic by request")
    config.addinivalue_line("markers", "has_configs: for clients that can ask for configs and change them")
    config.addinivalue_line("markers", "tells_config_faults: for clients that tell why a config was refused")
    config.addinivalue_line("markers", "groups: for clients that have consumer groups")
    config.addinivalue_line("markers", "commits: for clients that commit when they are told to")
    config.addinivalue_line("markers", "static_members: for clients whose members can be static")
    config.addinivalue_line("markers", "cooperative: for clients that rebalance cooperatively")
    config.addinivalue_line("markers", "grows_topics: for clients that can add partitions to a topic")
    config.addinivalue_line("markers", "resets_none: for clients that can be told to fail where no offset is known")
    config.addinivalue_line("markers", "tells_fenced: for clients whose member hears that another took its name")
    config.addinivalue_line("markers", "tells_put_out: for clients that fail a commit of who is no member any more")
    config.addinivalue_line("markers", "knows_unknown: for clients that tell that a topic is not there")
    config.addinivalue_line("markers", "tells_bad_names: for clients that tell why a name is refused")
    config.addinivalue_line("markers", "commits_on_revoke: for clients that can commit when partitions are taken")


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


def _skippable():
    lines = (pathlib.Path(__file__).parent / "skips.txt").read_text().splitlines()
    return {line.split("\t")[0] for line in lines if line.strip() and not line.startswith("#")}


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A skip that tests/skips.txt does not name is a failure."""
    outcome = yield
    report = outcome.get_result()
    if report.skipped and item.originalname not in _skippable() and item.name not in _skippable():
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} skipped, but tests/skips.txt does not name it"
