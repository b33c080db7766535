"""kafkajs 2.2.4, through a Node of PyPI's."""

import json
import os
import pathlib
import subprocess

import pytest
from support.server import CACHE


@pytest.mark.parametrize("listener", ["external", "internal"])
def test_kafkajs__admin_produce_groups(brokers, topic, listener):
    script = pathlib.Path(__file__).parent / "kafkajs.js"
    environment = dict(os.environ, NODE_PATH=str(CACHE / "node/node_modules"), KAFKAJS_NO_PARTITIONER_WARNING="1")
    done = subprocess.run(
        [CACHE / "venv/bin/node", script, brokers[listener], topic],
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.stdout.strip(), done.stderr
    out = json.loads(done.stdout.strip().splitlines()[-1])
    assert "error" not in out, out
    assert out["partitions"] == 1 and out["base"] == 0 and out["high"] == 4
    assert out["first"] == [
        {"value": "plain", "key": "k", "headers": ["h"], "offset": 0},
        {"value": None, "key": None, "headers": [], "offset": 1},
    ]
    assert out["rest"] == [4, 900000]
