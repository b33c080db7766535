"""Called by scripts/diff: OURS THEIRS [SCENARIO ...]; both are HOST:PORT. The exit code is 1 for a difference that
deliberate.txt does not name, or for a name there that nothing needs."""

import os
import sys

from . import scenarios  # noqa: F401
from .compare import explain, load_rules, run, served_by
from .scenario import SCENARIOS


def main():
    ours, theirs, *names = sys.argv[1:]
    chosen = [s for s in SCENARIOS if not names or s.__name__ in names]
    rules = load_rules()
    served = served_by(ours)
    answers = unexplained = 0
    for scenario in chosen:
        count, found = run(scenario, ours, theirs, served)
        left = explain(found, rules)
        answers += count
        unexplained += len(left)
        print(
            f"{scenario.__name__}: {count} answers, {len(left)} differences, {len(found) - len(left)} deliberate ones"
        )
        for difference in found if os.environ.get("DIFF_ALL") else left:
            print(f"    {difference}")
    used = {rule.name for rule in rules if rule.used}
    idle = {rule.name for rule in rules} - used if len(chosen) == len(SCENARIOS) else set()
    for name in sorted(idle):
        print(f"nothing needs the deliberate difference {name}")
    print(f"{answers} answers compared, {unexplained} differences, {len(used)} deliberate ones by name")
    return 1 if unexplained or idle or not answers else 0


if __name__ == "__main__":
    sys.exit(main())
