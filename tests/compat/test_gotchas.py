"""tests/gotchas.txt names a test for each trap, and each of these tests is there."""

import functools
import re
import subprocess

from support.server import ROOT

LATER = {11, *range(55, 60)}  # SASL, transactions


def rows():
    lines = (ROOT / "tests/gotchas.txt").read_text().splitlines()
    return [line.split("\t") for line in lines if not line.startswith("#")]


@functools.cache
def defined():
    """Names of the tests, of C ones those that are run."""
    found = ["git", "grep", "-hoE", "--untracked", r"^def test_\w+|TEST\w*\(test_\w+|cmocka_unit_test\w*\(test_\w+"]
    out = subprocess.run([*found, "--", "tests"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return set(re.findall(r"\btest_\w+", out))


def test_gotchas__each_has_a_test_or_waits_for_a_part():
    numbers = [int(row[0][1:]) for row in rows()]
    assert numbers == list(range(1, 66))
    assert all(len(row) == 3 and all(row) for row in rows())
    assert {int(row[0][1:]) for row in rows() if row[2].startswith("later: ")} == LATER


def test_gotchas__the_tests_are_there():
    named = {(row[0], name) for row in rows() if not row[2].startswith("later: ") for name in row[2].split(" ")}
    assert sorted((number, name) for number, name in named if name not in defined()) == []
