"""Called by scripts/diff: OURS THEIRS [--seed S] [--count N] [--only WHICH] [SCENARIO ...]; both are HOST:PORT. The
exit code is 1 for a difference that deliberate.txt does not name, or for a name there that nothing needs."""

import sys
import time

from . import scenarios  # noqa: F401
from .compare import explain, load_rules, run, served_by
from .options import OPTIONS, only, read_options
from .scenario import SCENARIOS


def chosen():
    if only():
        return [s for s in SCENARIOS if s.__name__ == f"made_up_{only()[0]}"]
    names = OPTIONS.scenarios
    return [s for s in SCENARIOS if not names or s.__name__ in names or s.__name__.split("_up_")[0] + "_up" in names]


def again(request):
    """How a request that was made up is sent again."""
    label, api, version = request.split(" {")[0].rsplit(" ", 2)
    number = label.split()[2]
    return f"scripts/diff --seed {OPTIONS.seed} --count {OPTIONS.count} --only '{api} {version} {number}'"


def narrow(result):
    """What --only names was asked last."""
    name = list(result.here)[-1]
    result.here = {name: result.here[name]}
    result.found = [difference for difference in result.found if difference.request.startswith(name)]


def report(result, left):
    last = None
    for difference in result.found if OPTIONS.all else left:
        print(f"    {difference}")
        if difference.request.startswith("by chance ") and difference.request != last:
            print(f"        {again(difference.request)}")
        last = difference.request


def print_whole(result):
    """The request that --only names, and both answers."""
    name = next(iter(result.here))
    print(f"{name} {result.bodies.get(name, '')}")
    print(f"    here:  {result.here[name]}")
    print(f"    there: {result.there.get(name)}")


def main():
    read_options(sys.argv[1:])
    rules = load_rules()
    served = served_by(OPTIONS.ours)
    listed = {*served, *served_by(OPTIONS.theirs)}
    run_now = chosen()
    answers = unexplained = 0
    for scenario in run_now:
        began = time.monotonic()
        result = run(scenario, OPTIONS.ours, OPTIONS.theirs, served, listed)
        if only():
            narrow(result)
        left = explain(result.found, rules)
        if not result.here:  # an API that is not served yet
            continue
        answers += len(result.here)
        unexplained += len(left)
        counts = f"{len(left)} differences, {len(result.found) - len(left)} deliberate ones"
        print(f"{scenario.__name__}: {len(result.here)} answers, {counts}, {time.monotonic() - began:.1f} s")
        report(result, left)
        if only():
            print_whole(result)
        sys.stdout.flush()
    used = {rule.name for rule in rules if rule.used}
    idle = {rule.name for rule in rules} - used if len(run_now) == len(SCENARIOS) else set()
    for name in sorted(idle):
        print(f"nothing needs the deliberate difference {name}")
    print(f"{answers} answers compared, {unexplained} differences, {len(used)} deliberate ones by name")
    return 1 if unexplained or idle or not answers else 0


if __name__ == "__main__":
    sys.exit(main())
