"""A short crash test of the binary under test; scripts/crash makes the long one."""

import json
import random
import types

import pytest
from fault.crash import checker, run


def test_kill__nothing_lost_nothing_twice(tmp_path):
    random.seed(12)
    assert run.run(tmp_path, kills=5, acked=300) == []


def test_settle__waits_for_the_mail_of_the_last_user(monkeypatch):
    looks = iter([{}, {"a@example.com": ["sending"]}, {"a@example.com": ["sent"]}])
    seen = []

    def look(_):
        seen.append(next(looks))
        return seen[-1]

    monkeypatch.setattr(checker, "all_users", lambda _: [{"email": "a@example.com"}])
    monkeypatch.setattr(checker, "deliveries_by_address", look)
    run.settle(types.SimpleNamespace(users=0, notify=0))
    assert seen[-1] == {"a@example.com": ["sent"]}


def test_history__of_a_client_that_goes_on_may_end_amid_a_line(tmp_path):
    path = tmp_path / "plain.history"
    path.write_text('{"kind": "invoke"}\n{"kind": "o')
    assert checker.read_history(path, goes_on=True) == [{"kind": "invoke"}]
    with pytest.raises(json.JSONDecodeError):
        checker.read_history(path)
