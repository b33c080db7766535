"""Wrong input by every stock client: the broker's refusal reaches the caller as the error that its client has for it,
the same from any Kafka broker, and what is right goes on behind it."""

import re

import pytest
from support.kafka_wire import Peer
from test_every_client import UNKNOWN_TOPIC, numbered, plain, poll_until

INVALID_COUNT = "(?i)invalid.?partitions|would not be an increase|partitions was set|partitions is invalid|range"
INVALID_TOPIC = "(?i)invalid.?topic|topic name.* (illegal|invalid)|code: 17|TopicNotValid|InvalidTopic"

OUT_OF_THE_GROUP = "(?i)unknown.?member|illegal.?generation|commit.?failed|not part of an active|aware of|not known"


@pytest.mark.tells_bad_names
@pytest.mark.parametrize("name", ["no/such", "a b", "x" * 250], ids=["slash", "blank", "long"])
def test_wrong_input__a_name_that_no_topic_can_have(client, ready, name):
    with pytest.raises(Exception, match=INVALID_TOPIC):
        client.produce(name, numbered(1))
    client.produce(ready, numbered(1))
    assert plain(client.consume(ready, 0, "earliest", 1)) == plain(numbered(1))


@pytest.mark.creates_topics
def test_wrong_input__topics_that_cannot_be(client, topic):
    with pytest.raises(Exception, match="(?i)invalid.?topic|topic name is invalid|on an invalid topic"):
        client.create_topic("no/such", 1)
    with pytest.raises(Exception, match=INVALID_COUNT):
        client.create_topic(topic, 0)
    with pytest.raises(Exception, match="(?i)invalid.?request|prohibited|most likely occurs"):
        client.create_topic("__cluster_metadata", 1)
    assert topic not in client.metadata()["topics"]
    client.create_topic(topic, 1)


@pytest.mark.grows_topics
def test_wrong_input__fewer_partitions_or_as_many(client, ready):
    for count in (2, 4, 0, -1):
        with pytest.raises(Exception, match=INVALID_COUNT):
            client.grow_topic(ready, count)
    client.grow_topic(ready, 5)
    poll_until([], lambda: client.metadata()["topics"].get(ready) == 5, "one more partition")


@pytest.mark.has_configs
@pytest.mark.parametrize("name, value", [("cleanup.policy", "burn"), ("retention.ms", "-2"), ("preallocate", "yes")])
@pytest.mark.tells_config_faults
def test_wrong_input__values_that_a_config_cannot_have(client, ready, name, value):
    before = client.configs(ready)[name]
    with pytest.raises(Exception, match="(?i)invalid.?(config|value)|configuration is invalid"):
        client.configure(ready, name, value)
    assert client.configs(ready)[name] == before


@pytest.mark.has_configs
@pytest.mark.tells_config_faults
def test_wrong_input__a_config_that_is_none(client, ready):
    with pytest.raises(Exception, match="(?i)invalid.?config|unknown topic|configuration is invalid|unrecognized"):
        client.configure(ready, "no.such.key", "1")


@pytest.mark.resets_none
def test_wrong_input__an_offset_that_is_not_there(client, ready):
    client.produce(ready, numbered(2))
    with pytest.raises(Exception, match="(?i)offset.?out.?of.?range|out of range|outside the range"):
        client.consume(ready, 0, ("only", 1000), 1)
    assert plain(client.consume(ready, 0, ("only", 1), 1)) == plain(numbered(1, 1))


@pytest.mark.knows_unknown
def test_wrong_input__a_topic_that_is_not_there(client, topic):
    with pytest.raises(Exception, match=UNKNOWN_TOPIC):
        client.consume(topic, 0, ("only", 0), 1)
    assert topic not in client.metadata()["topics"]
    client.produce(topic, numbered(1))
    assert plain(client.consume(topic, 0, ("only", 0), 1)) == plain(numbered(1))


def committed(bootstrap, group, topic):
    with Peer(bootstrap) as peer:
        places = [{"Name": topic, "PartitionIndexes": [0]}]
        row = peer.ask("OffsetFetch", 5, GroupId=group, Topics=places)["Topics"][0]["Partitions"][0]
        return row["CommittedOffset"]


@pytest.mark.tells_fenced
def test_wrong_input__a_member_whose_name_another_took(member_client, bootstrap, ready):
    group, other = "fenced-" + ready, member_client.another()
    member_client.produce(ready, numbered(2))
    one = member_client.join(group, ready, instance="same")
    poll_until([one], lambda: one.assignment and len(one.records) == 2, "the records")
    two = other.join(group, ready, instance="same")
    poll_until([two], lambda: two.assignment and len(two.records) == 2, "what was not committed")
    with pytest.raises(Exception, match="(?i)fenced|rejected this static"):
        for _ in range(200):
            one.poll()
    try:
        one.commit()  # which has an error for that, or nothing to commit any more
    except Exception as error:  # each client has its own
        assert re.search("(?i)fenced|fatal|not part of an active group|no generation to commit in", str(error))
    assert committed(bootstrap, group, ready) == -1
    two.commit()
    assert committed(bootstrap, group, ready) == 2
    two.leave()
    if other is not member_client:
        other.close()


@pytest.mark.groups
@pytest.mark.commits
@pytest.mark.tells_put_out
def test_wrong_input__a_commit_of_a_member_that_was_put_out(member_client, bootstrap, ready):
    """Somebody else makes it leave, and it commits before it has heard of that: once it is too slow for most clients,
    which hear of it with a heartbeat and join again."""
    group, first = "out-" + ready, 0
    one = member_client.join(group, ready)
    with pytest.raises(Exception, match=OUT_OF_THE_GROUP), Peer(bootstrap) as peer:
        for first in range(0, 40, 2):
            member_client.produce(ready, numbered(2, first))
            poll_until([one], lambda: last_value(first) in {r.value for r in one.records}, "the records")
            members = peer.ask("DescribeGroups", 5, Groups=[group])["Groups"][0]["Members"]
            rows = [{"MemberId": member["MemberId"], "GroupInstanceId": None} for member in members]
            assert peer.ask("LeaveGroup", 4, GroupId=group, Members=rows)["ErrorCode"] == 0
            one.commit()
            one.poll()  # some tell it here
    assert committed(bootstrap, group, ready) <= first
    one.leave()


def last_value(first):
    return numbered(2, first)[-1].value
