"""What the container's HEALTHCHECK runs. scripts/container proves the image itself, as root, in minutes."""

import subprocess

import pytest


def health(server):
    """Exit code of `eventbox health` with the settings of @server, and what it says."""
    done = subprocess.run(
        server.command() + ["health"], env=server.environment(), capture_output=True, text=True, timeout=30
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize("modules", [None, "broker"])
def test_health__0_while_it_works_and_1_after(make_eventbox, modules):
    server = make_eventbox(modules=modules).start()
    assert health(server) == (0, "")
    assert server.stop() == 0
    code, said = health(server)
    assert code == 1
    assert f"port {server.external}" in said
    assert (f"port {server.users}" in said) == (modules is None)
