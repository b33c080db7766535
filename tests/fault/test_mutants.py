"""The table in scripts/mutants names each measure that a build can leave out, and a test that is there."""

import re
import subprocess

from support.server import ROOT


def table():
    """{mutant: what must catch it}, as the script reads it."""
    text = (ROOT / "scripts/mutants").read_text().split("table='\n")[1].split("\n'\n")[0]
    return dict(line.split() for line in text.splitlines() if not line.startswith(" "))


def found(pattern, *folders):
    out = subprocess.run(
        ["git", "grep", "-hoE", "--untracked", pattern, "--", *folders], cwd=ROOT, capture_output=True, text=True
    )
    return out.stdout.split()


def test_mutants__table_names_each_one_of_the_sources():
    in_sources = {word.removeprefix("MUTANT_").lower() for word in found(r"MUTANT_[A-Z_]+", "src")}
    assert set(table()) == in_sources
    offered = (ROOT / "meson_options.txt").read_text().split("catch it: ")[1].split("'")[0]
    assert set(offered.split(", ")) == in_sources


def test_mutants__tests_of_the_table_are_there():
    for mutant, test in table().items():
        if test != "crash":
            function = test.split(":")[1]
            assert found(rf"cmocka_unit_test\({function}\)|TEST\({function}\)", "tests"), (mutant, function)


def test_mutants__readme_says_which_test_catches_which():
    """A row of its table is `mutant` and `test`; it has those mutants that a test of the log catches."""
    text = (ROOT / "tests/fault/README.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| `(test_\w+)` \|", text, re.MULTILINE))
    assert rows == {mutant: test.split(":")[1] for mutant, test in table().items() if test != "crash"}
