"""A short crash test of the binary under test; scripts/crash makes the long one."""

import random

from fault.crash import run


def test_kill__nothing_lost_nothing_twice(tmp_path):
    random.seed(12)
    assert run.run(tmp_path, kills=5, acked=300) == []
