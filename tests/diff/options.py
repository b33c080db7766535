"""What the command line asks for."""

import argparse
import dataclasses

DEFAULT_COUNT = 12


@dataclasses.dataclass
class Options:
    ours: str = ""
    theirs: str = ""
    scenarios: tuple = ()
    seed: str = "20261128"
    count: int = DEFAULT_COUNT  # requests by chance for each version of each API
    only: str = ""  # "API vVERSION NUMBER": this one and, unreported, those of its API before it
    all: bool = False


OPTIONS = Options()


def read_options(arguments):
    usage = "scripts/diff [--seed S] [--count N] [--only WHICH] [NAME ...]"
    parser = argparse.ArgumentParser("scripts/diff", usage=usage)
    parser.add_argument("ours")
    parser.add_argument("theirs")
    parser.add_argument("scenarios", nargs="*")
    parser.add_argument("--seed", default=OPTIONS.seed)
    parser.add_argument("--count", type=int, default=OPTIONS.count)
    parser.add_argument("--only", default="")
    parser.add_argument("--all", action="store_true")
    vars(OPTIONS).update(vars(parser.parse_intermixed_args(arguments)))


def only():
    """(api, version, number) that --only names; None without it."""
    if not OPTIONS.only:
        return None
    api, version, number = OPTIONS.only.split()
    return api, int(version.removeprefix("v")), int(number)
