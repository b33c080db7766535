"""The example module keeps exactly once through kills."""

import pathlib
import random

from fault.crash import example


def test_kill__every_order_has_one_effect_and_one_receipt(tmp_path):
    assert pathlib.Path(example.binary()).exists(), "the test build has no eventbox-example"
    random.seed(11)
    assert example.crash(tmp_path, kills=4, acked=100) == []
