"""A short crash test of the binary under test; scripts/crash makes the long one."""

import json
import random

import pytest
from fault.crash import checker, run


def test_kill__nothing_lost_nothing_twice(tmp_path):
    random.seed(12)
    assert run.run(tmp_path, kills=5, acked=300) == []


def test_history__of_a_client_that_goes_on_may_end_amid_a_line(tmp_path):
    path = tmp_path / "plain.history"
    path.write_text('{"kind": "invoke"}\n{"kind": "o')
    assert checker.read_history(path, goes_on=True) == [{"kind": "invoke"}]
    with pytest.raises(json.JSONDecodeError):
        checker.read_history(path)
