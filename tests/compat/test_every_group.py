"""What the groups of stock clients must live through: crashes, static members, commits in rebalances, storms."""

import random

import pytest
from clients import Record
from clients.crashing import CrashingMember
from support.kafka_wire import Peer
from test_every_client import PARTITIONS, plain, poll_until

EVERYTHING = set(range(PARTITIONS))


def spread(first, count=8):
    return [Record(b"value %d" % i, b"key %d" % i, partition=i % PARTITIONS) for i in range(first, first + count)]


def shared(*members):
    """Every partition at exactly one of them, and each with some."""
    parts = [m.assignment for m in members]
    return all(parts) and set().union(*parts) == EVERYTHING and sum(map(len, parts)) == PARTITIONS


def values(member):
    """A member may read again what it has not committed."""
    return {r.value for r in member.records}


def described(bootstrap, group):
    with Peer(bootstrap) as peer:
        return peer.ask("DescribeGroups", 5, Groups=[group])["Groups"][0]


@pytest.mark.groups
def test_group__crashed_member_is_replaced_after_its_session(member_client, ready):
    member_client.produce(ready, spread(0))
    group = "crash-" + ready
    stays, dies = member_client.join(group, ready), CrashingMember(member_client, group, ready)
    try:
        poll_until([stays, dies], lambda: shared(stays, dies), "both members with a share")
    finally:
        dies.crash()
    poll_until([stays], lambda: stays.assignment == EVERYTHING, "everything for who lives")
    stays.leave()


@pytest.mark.groups
@pytest.mark.commits
def test_group__two_at_once_are_strangers(member_client, ready):
    member_client.produce(ready, spread(0))
    first, second = ({r.value for r in spread(n)} for n in (0, 8))
    one, two = (member_client.join(name + ready, ready) for name in ("one-", "two-"))
    poll_until([one, two], lambda: values(one) == values(two) == first, "all records at both")
    one.commit()
    one.leave()
    two.leave()  # without a commit
    member_client.produce(ready, spread(8))
    one, two = (member_client.join(name + ready, ready) for name in ("one-", "two-"))
    poll_until([one, two], lambda: values(one) >= second and values(two) >= first, "what each has not committed")
    one.leave()
    two.leave()
    assert values(one) == second and values(two) == first | second


@pytest.mark.static_members
def test_group__g45_static_member_returns_to_its_share(member_client, bootstrap, ready):
    member_client.produce(ready, spread(0))
    group = "static-" + ready
    goes, comes = member_client.another(), member_client.another()
    assert goes.metadata()["topics"][ready] == comes.metadata()["topics"][ready]  # both are up and ready
    one = member_client.join(group, ready, instance="first")
    two = goes.join(group, ready, instance="second")
    poll_until([one, two], lambda: shared(one, two), "both members with a share")
    before, share, undisturbed = described(bootstrap, group), set(two.assignment), len(one.revoked)
    two.vanish()
    two = comes.join(group, ready, instance="second")
    poll_until([one, two], lambda: two.assignment == share, "the old share")
    after = described(bootstrap, group)
    assert after["GroupState"] == "Stable" and len(one.revoked) == undisturbed

    def by_instance(found):
        return {m["GroupInstanceId"]: m["MemberId"] for m in found["Members"]}

    assert by_instance(before)["first"] == by_instance(after)["first"]
    assert by_instance(before)["second"] != by_instance(after)["second"]
    one.leave()
    two.leave()
    goes.close()
    comes.close()


@pytest.mark.commits_on_revoke
def test_group__g43_commit_when_partitions_are_taken(member_client, ready):
    member_client.produce(ready, spread(0))
    group = "revoke-" + ready
    one = member_client.join(group, ready, commit_on_revoke="yes")
    poll_until([one], lambda: len(one.records) == 8, "all records")
    two = member_client.join(group, ready, commit_on_revoke="yes")
    poll_until([one, two], lambda: shared(one, two), "both members with a share")
    member_client.produce(ready, spread(8))
    poll_until([one, two], lambda: len(one.records) + len(two.records) >= 16, "the new records")
    one.leave()
    two.leave()
    assert sorted(plain(one.records + two.records)) == sorted(plain(spread(0, 16)))  # none of them twice


@pytest.mark.cooperative
def test_group__g46_cooperative_members_keep_what_stays_theirs(member_client, ready):
    member_client.produce(ready, spread(0))
    group = "cooperative-" + ready
    one = member_client.join(group, ready, cooperative="yes")
    poll_until([one], lambda: one.assignment == EVERYTHING, "everything for the first")
    two = member_client.join(group, ready, cooperative="yes")
    poll_until([one, two], lambda: shared(one, two), "both members with a share")
    assert len(one.revoked) == PARTITIONS // 2 and set(one.revoked) == two.assignment
    one.leave()
    poll_until([two], lambda: two.assignment == EVERYTHING, "the rest for who stayed")
    assert two.revoked == []
    two.leave()


def test_group__g47_storm_ends_with_everything_read_once_committed(clients, ready):
    """Members come and go as fast as they can, and what one has committed nobody reads again."""
    client, group, chance = clients("confluent", "external"), "storm-" + ready, random.Random(5)
    client.produce(ready, spread(0, 400))
    members, seen = [], []
    for _ in range(40):
        if len(members) < 2 or (len(members) < 6 and chance.random() < 0.5):
            members.append(client.join(group, ready, commit_on_revoke=True))
        else:
            gone = members.pop(chance.randrange(len(members)))
            gone.leave()
            seen += gone.records
        for member in members:
            member.poll()
    poll_until(members, lambda: shared(*members) or (len(members) > PARTITIONS), "a settled group")
    poll_until(
        members, lambda: len({r.value for m in members for r in m.records} | {r.value for r in seen}) == 400, "all"
    )
    for member in members:
        member.leave()
        seen += member.records
    read = [r.value for r in seen]
    assert set(read) == {r.value for r in spread(0, 400)}
    assert len(read) == len(set(read))
