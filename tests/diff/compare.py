"""Runs every scenario on both sides and holds the answers against each other."""

import concurrent.futures
import dataclasses
import pathlib
import re
import secrets
import traceback

from .peer import Closed, Side, wait_until

HERE = pathlib.Path(__file__).parent
DELIBERATE_MAX = 20


@dataclasses.dataclass
class Difference:
    request: str
    field: str
    ours: object
    theirs: object
    deliberate: str = ""

    def __str__(self):
        mark = f"  ({self.deliberate})" if self.deliberate else ""
        return f"{self.request}: {self.field or 'the answer'}: {self.ours!r} here, {self.theirs!r} there{mark}"


@dataclasses.dataclass
class Rule:
    name: str
    request: re.Pattern
    field: re.Pattern
    reason: str
    used: int = 0


def load_rules():
    """Lines of deliberate.txt: name, request, field and values (both patterns), reason, with tabs between them."""
    rules = []
    for line in (HERE / "deliberate.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, request, field, reason = line.split("\t")
            rules.append(Rule(name, re.compile(request), re.compile(field), reason))
    assert len({rule.name for rule in rules}) <= DELIBERATE_MAX, "too many deliberate differences"
    return rules


def row_keys(*lists):
    """Rows by what names them, where each list has one row of a name."""
    for name in ("ApiKey", "Name", "GroupId", "TopicName", "Topic", "PartitionIndex", "Partition", "ResourceName"):
        if all(isinstance(rows, list) and all(isinstance(r, dict) and name in r for r in rows) for rows in lists):
            found = [{str(row[name]): row for row in rows} for rows in lists]
            if all(len(by_name) == len(rows) for by_name, rows in zip(found, lists)):
                return found
    return None


def beyond(rows, others):
    """The rows that the other list has not, or not as often."""
    left = list(others)
    return [row for row in rows if row not in left or left.remove(row)]


def differences(request, ours, theirs, field=""):
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({*ours, *theirs}):
            inner = f"{field}.{key}" if field else key
            yield from differences(request, ours.get(key, "absent"), theirs.get(key, "absent"), inner)
    elif (keys := row_keys(ours, theirs)) is not None:
        for key in sorted({*keys[0], *keys[1]}):
            pair = keys[0].get(key, "absent"), keys[1].get(key, "absent")
            yield from differences(request, *pair, f"{field}[{key}]")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for i, pair in enumerate(zip(ours, theirs)):
            yield from differences(request, *pair, f"{field}[{i}]")
    elif isinstance(ours, list) and isinstance(theirs, list):
        yield Difference(request, field, beyond(ours, theirs), beyond(theirs, ours))
    elif ours != theirs or isinstance(ours, bool) != isinstance(theirs, bool):
        yield Difference(request, field, ours, theirs)


def served_by(address):
    """The versions of each API that a broker lists, as soon as it answers."""
    side = Side("", address, "")
    rows = []

    def answers():
        try:
            rows.extend(side.quietly("ApiVersions", 0, {})["ApiKeys"])
        except (Closed, OSError):
            side.peer.close()
        return rows

    wait_until(answers, address)
    side.peer.close()
    return {row["ApiKey"]: range(row["MinVersion"], row["MaxVersion"] + 1) for row in rows}


def run_one(scenario, name, address, prefix, served, listed):
    side = Side(name, address, prefix, served, listed)
    try:
        side.node = side.quietly("Metadata", 1, {"Topics": []})["Brokers"][0]["NodeId"]
        scenario(side)
    except Exception as error:  # whatever it is: the rest of the report is worth more than a clean end
        line = traceback.extract_tb(error.__traceback__)[1]
        side.answers["to its end"] = f"broke off in line {line.lineno} at {type(error).__name__} {error}"
    finally:
        side.peer.close()
    return side


@dataclasses.dataclass
class Result:
    here: dict  # answers by request
    there: dict
    bodies: dict  # of requests that were made up
    found: list


def run(scenario, ours, theirs, served, listed):
    """`served`: the versions of each API of ours; `listed`: the keys of both."""
    prefix = f"diff-{secrets.token_hex(3)}"
    both = (("ours", ours), ("theirs", theirs))
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sides = [pool.submit(run_one, scenario, *one, prefix, served, listed) for one in both]
        here, there = (side.result() for side in sides)
    found = []
    for request in {**here.answers, **there.answers}:
        asked = f"{request} {here.bodies[request]}" if request in here.bodies else request
        ours, theirs = (side.answers.get(request, "not asked") for side in (here, there))
        found += differences(asked, ours, theirs)
    return Result(here.answers, there.answers, here.bodies, found)


def explain(found, rules):
    """Mark the differences that a rule of deliberate.txt names."""
    for difference in found:
        for rule in rules:
            what = f"{difference.field}: {difference.ours!r} here, {difference.theirs!r} there"
            if rule.request.search(difference.request) and rule.field.search(what):
                difference.deliberate = rule.name
                rule.used += 1
                break
    return [difference for difference in found if not difference.deliberate]
