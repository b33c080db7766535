"""The Java client, newest 4.x, idempotent by default."""

import pathlib
import subprocess

import pytest
from support.server import CACHE


@pytest.mark.parametrize("listener", ["external", "internal"])
def test_java__admin_produce_groups_seek(brokers, topic, listener):
    source = pathlib.Path(__file__).parent / "java/Compat.java"
    done = subprocess.run(
        ["java", "-cp", f"{CACHE}/java/libs/*", source, brokers[listener], topic],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split("\n")[:4] == ["ok admin", "ok produce", "ok groups", "ok seek"], done.stdout
