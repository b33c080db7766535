"""The table of README.md, client by behaviour, is what conftest.py would run.

    python tests/compat/test_readme.py    writes it anew
"""

import importlib
import pathlib
import re
import sys

if __name__ == "__main__":
    sys.path[:0] = [str(pathlib.Path(__file__).parents[n]) for n in (0, 1)]

from clients import Client, interop
from clients.confluent import Confluent
from clients.kafka_python import KafkaPython
from clients.kcat import Kcat
from clients.remote import Java, Kafkajs

README = pathlib.Path(__file__).parent / "README.md"
NAMES = {"kcat": Kcat, "confluent": Confluent, "kafka_python": KafkaPython, "kafkajs": Kafkajs, "java": Java}
NAMES |= interop.CLIENTS
MODULES = ["test_every_client", "test_every_group", "test_every_wrong_input"]
BEHAVIOURS = {
    "metadata": "test_metadata__one_broker_where_it_was_reached",
    "topics made and deleted by request": "test_delete_topic__is_gone_and_an_error_the_second_time",
    "configs asked and changed": "test_configs__changed_value_is_told_and_acts",
    "codecs": "test_produce__codec",
    "headers, null keys and values": "test_produce__headers_and_nulls",
    "large records": "test_produce__large_record",
    "idempotent produce": "test_produce__idempotent",
    "seek by offset": "test_consume__from_an_offset",
    "seek by time": "test_consume__from_a_timestamp",
    "groups: join, leave, commit, resume": "test_group__join_rebalance_leave_commit_resume",
    "groups: commit when told": "test_group__two_at_once_are_strangers",
    "groups: crash": "test_group__crashed_member_is_replaced_after_its_session",
    "groups: static members": "test_group__g45_static_member_returns_to_its_share",
    "groups: commit when partitions are taken": "test_group__g43_commit_when_partitions_are_taken",
    "groups: cooperative": "test_group__g46_cooperative_members_keep_what_stays_theirs",
    "wrong input: a record that is too large": "test_wrong_input__a_record_beyond_the_limit_of_its_topic",
    "wrong input: configs": "test_configs__wrong_input",
    "wrong input: values of configs": "test_wrong_input__values_that_a_config_cannot_have",
    "wrong input: unknown configs": "test_wrong_input__a_config_that_is_none",
    "wrong input: names of topics": "test_wrong_input__a_name_that_no_topic_can_have",
    "wrong input: topics that cannot be": "test_wrong_input__topics_that_cannot_be",
    "wrong input: fewer partitions": "test_wrong_input__fewer_partitions_or_as_many",
    "wrong input: an offset that is not there": "test_wrong_input__an_offset_that_is_not_there",
    "wrong input: a topic that is not there": "test_wrong_input__a_topic_that_is_not_there",
    "wrong input: a commit of who was put out": "test_wrong_input__a_commit_of_a_member_that_was_put_out",
    "wrong input: a fenced member": "test_wrong_input__a_member_whose_name_another_took",
}


def able(client, test):
    """Whether conftest.py makes a case of this test for this client; the codecs of it, where it takes them."""
    marks = [mark.name for mark in getattr(test, "pytestmark", []) if hasattr(Client, mark.name)]
    if not all(getattr(client, mark) for mark in marks):
        return "client cannot"
    if test.__name__ == BEHAVIOURS["idempotent produce"] and not client.idempotent:
        return "a plain one"
    if "codec" in test.__code__.co_varnames[: test.__code__.co_argcount]:
        missing = [codec for codec in Client.codecs if codec not in client.codecs]
        return f"without {', '.join(missing)}" if missing else "yes"
    return "yes"


def table():
    modules = [importlib.import_module(name) for name in MODULES]
    lines = ["| behaviour | test | " + " | ".join(NAMES) + " |", "|---" * (len(NAMES) + 2) + "|"]
    for behaviour, name in BEHAVIOURS.items():
        (test,) = [getattr(module, name) for module in modules if hasattr(module, name)]
        cells = [able(client, test) for client in NAMES.values()]
        lines.append(f"| {behaviour} | `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def written(text):
    return re.sub(r"(?s)(<!-- table[^\n]*-->\n).*(\n<!-- end -->)", lambda m: m[1] + table() + m[2], text)


def test_readme__table_of_clients_is_true():
    assert README.read_text() == written(README.read_text()), "python tests/compat/test_readme.py writes it"


def test_readme__every_ability_is_in_the_table():
    """A test that leaves clients out stands in it, so that what a client cannot do is seen."""
    marked = {
        name
        for module in map(importlib.import_module, MODULES)
        for name, test in vars(module).items()
        if name.startswith("test_") and {m.name for m in getattr(test, "pytestmark", [])} & set(vars(Client))
    }
    also = {"test_create_topic__has_the_partitions_asked_for", "test_create_topic__twice_is_an_error"}
    assert marked - also - {"test_first_use__makes_the_topic"} <= set(BEHAVIOURS.values())


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
