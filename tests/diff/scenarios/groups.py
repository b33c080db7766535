"""The classic group protocol, its offsets, and what tools ask about groups."""

import concurrent.futures
import socket

from ..peer import Peer, wait_until
from ..scenario import batch, coordinate, make_topic, produce_body, scenario, versions

SESSION = {"SessionTimeoutMs": 10000, "RebalanceTimeoutMs": 10000}


def join_body(group, member="", instance=None, kind="consumer", protocols=("range",), **more):
    rows = [{"Name": name, "Metadata": b"m"} for name in protocols]
    return {
        "GroupId": group,
        **SESSION,
        "MemberId": member,
        "GroupInstanceId": instance,
        "ProtocolType": kind,
        "Protocols": rows,
        **more,
    }


@scenario
def find_coordinator(side):
    coordinate(side, side.topic("g"))
    for version in versions("FindCoordinator"):
        for kind in (0, 1, 2, 9) if version else (0,):
            for key in (side.topic("g"), ""):
                body = {"Key": key, "KeyType": kind, "CoordinatorKeys": [key]}
                side.ask(f"kind {kind} {bool(key)}", "FindCoordinator", version, body)
        share = f"{side.topic('g')}:AAAAAAAAAAAAAAAAAAAAAQ:0"
        if version:
            body = {"Key": share, "KeyType": 2, "CoordinatorKeys": [share]}
            side.ask("well-formed share key", "FindCoordinator", version, body)
        if version >= 4:
            keys = [side.topic("a"), side.topic("b")]
            side.ask("two", "FindCoordinator", version, {"KeyType": 0, "CoordinatorKeys": keys})
            side.ask("none", "FindCoordinator", version, {"KeyType": 0, "CoordinatorKeys": []})


@scenario
def one_member(side):
    make_topic(side, "topic")
    coordinate(side, side.topic("g"))
    for version in versions("JoinGroup"):
        group = side.topic(f"g{version}")
        answer = side.ask("first", "JoinGroup", version, join_body(group))
        member = answer["MemberId"] if answer else ""
        side.know(member, "member 1")
        if version >= 4:
            answer = side.ask("with its id", "JoinGroup", version, join_body(group, member))
        generation = answer["GenerationId"] if answer else 1
        sync = min(version, 5)
        assignment = [{"MemberId": member, "Assignment": b"all"}]
        body = {"GroupId": group, "GenerationId": generation, "MemberId": member, "Assignments": assignment}
        named = {"ProtocolType": "consumer", "ProtocolName": "range"}
        side.ask(f"sync {version}: before", "Heartbeat", min(version, 4), dict(body))
        side.ask(f"sync {version}: wrong generation", "SyncGroup", sync, {**body, "GenerationId": 99, **named})
        side.ask(f"sync {version}: wrong member", "SyncGroup", sync, {**body, "MemberId": "nobody", **named})
        if sync >= 5:
            side.ask(f"sync {version}: wrong type", "SyncGroup", sync, {**body, **named, "ProtocolType": "x"})
            side.ask(f"sync {version}: wrong protocol", "SyncGroup", sync, {**body, **named, "ProtocolName": "x"})
        side.ask(f"sync {version}: right", "SyncGroup", sync, {**body, **named})
        side.ask(f"sync {version}: again", "SyncGroup", sync, {**body, **named})
        heartbeat = min(version, 4)
        side.ask(f"beat {version}: right", "Heartbeat", heartbeat, body)
        side.ask(f"beat {version}: generation", "Heartbeat", heartbeat, {**body, "GenerationId": 7})
        side.ask(f"beat {version}: member", "Heartbeat", heartbeat, {**body, "MemberId": "x"})
        side.ask(f"beat {version}: group", "Heartbeat", heartbeat, {**body, "GroupId": side.topic("nobody's")})
        side.ask(f"beat {version}: empty group", "Heartbeat", heartbeat, {**body, "GroupId": ""})
        side.ask("rejoin", "JoinGroup", version, join_body(group, member))
        side.ask("other protocol", "JoinGroup", version, join_body(group, "", None, "consumer", ["other"]))
        side.ask("other type", "JoinGroup", version, join_body(group, "", None, "connect"))
        leave = min(version, 5)
        members = [{"MemberId": member}, {"MemberId": "nobody"}]
        side.ask(
            f"leave {version}: wrong", "LeaveGroup", leave, {"GroupId": group, "MemberId": "x", "Members": [members[1]]}
        )
        side.ask(
            f"leave {version}: right",
            "LeaveGroup",
            leave,
            {"GroupId": group, "MemberId": member, "Members": members[:1]},
        )
        side.ask(
            f"leave {version}: again",
            "LeaveGroup",
            leave,
            {"GroupId": group, "MemberId": member, "Members": members[:1]},
        )


def keep(side, label, answer):
    """An answer that came by another connection."""
    side.answers[label] = side.shared(answer)


@scenario
def join_sent_again(side):
    """A join that is parked comes again by another connection: what becomes of the first."""
    coordinate(side, side.topic("again"))
    group = side.topic("again")
    address = f"{side.peer.host}:{side.peer.port}"
    answer = side.peer.call("JoinGroup", 5, join_body(group))
    leader = answer["MemberId"]
    assert side.peer.call("JoinGroup", 5, join_body(group, leader))["GenerationId"] == 1
    first, second = Peer(address), Peer(address)
    member = first.call("JoinGroup", 5, join_body(group))["MemberId"]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        parked = pool.submit(first.call, "JoinGroup", 5, join_body(group, member))
        body = {"GroupId": group, "GenerationId": 1, "MemberId": leader}
        wait_until(lambda: side.peer.call("Heartbeat", 3, body)["ErrorCode"] == 27, "a rebalance")
        later = pool.submit(second.call, "JoinGroup", 5, join_body(group, member))
        concurrent.futures.wait([parked], 2)  # long enough for the second to have come
        assert side.peer.call("JoinGroup", 5, join_body(group, leader))["GenerationId"] == 2
        assert later.result(60)["GenerationId"] == 2
        told = parked.result()["ErrorCode"] if parked.done() else "no answer"
        keep(side, "parked JoinGroup sent again", {"First": told})
        first.socket.shutdown(socket.SHUT_RDWR)
    second.close()


@scenario
def equal_votes(side):
    """Two members, each with another favourite: what the group then speaks."""
    coordinate(side, side.topic("votes"))
    pairs = [("range", "roundrobin"), ("roundrobin", "sticky"), ("cooperative-sticky", "range"), ("x", "y"), ("b", "a")]
    for number, names in enumerate(pairs):
        for turn in (0, 1):
            group = side.topic(f"votes{number}{turn}")
            orders = [names, names[::-1]] if turn else [names[::-1], names]
            answer = side.peer.call("JoinGroup", 3, join_body(group, protocols=orders[0]))
            first = answer["MemberId"]
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                other = Peer(f"{side.peer.host}:{side.peer.port}")
                waits = pool.submit(other.call, "JoinGroup", 3, join_body(group, protocols=orders[1]))
                body = {"GroupId": group, "GenerationId": 1, "MemberId": first}
                wait_until(lambda body=body: side.peer.call("Heartbeat", 3, body)["ErrorCode"] == 27, "a rebalance")
                both = side.peer.call("JoinGroup", 3, join_body(group, first, protocols=orders[0]))
                assert waits.result(60)["GenerationId"] == 2
                other.close()
            keep(side, f"{names} {turn}", {"ProtocolName": both["ProtocolName"]})


@scenario
def two_members(side):
    """A second member joins, takes its share, commits in each state, and leaves."""
    make_topic(side, "shared", 2)
    coordinate(side, side.topic("two"))
    other = Peer(f"{side.peer.host}:{side.peer.port}")
    for version in (2, 4, 5, 7, 9):
        group = side.topic(f"two{version}")
        sync, beat = min(version, 5), min(version, 4)
        named = {"ProtocolType": "consumer", "ProtocolName": "range"}

        def join(peer, member, group=group, version=version):
            answer = peer.call("JoinGroup", version, join_body(group, member))
            if answer["ErrorCode"] == 79:
                answer = peer.call("JoinGroup", version, join_body(group, answer["MemberId"]))
            return answer

        def commit(label, generation, member, group=group, version=version):
            rows = [{"Name": side.topic("shared"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1}]}]
            body = {"GroupId": group, "GenerationIdOrMemberEpoch": generation, "MemberId": member, "Topics": rows}
            side.ask(f"{label} {version}", "OffsetCommit", min(version, 9), body)

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            leader = join(side.peer, "")["MemberId"]
            side.know(leader, "the leader")
            first = {"GroupId": group, "GenerationId": 1, "MemberId": leader, **named}
            side.quietly("SyncGroup", sync, {**first, "Assignments": [{"MemberId": leader, "Assignment": b"all"}]})
            joining = pool.submit(join, other, "")
            wait_until(lambda: side.quietly("Heartbeat", beat, first)["ErrorCode"] == 27, "the rebalance")
            commit("while members join", 1, leader)
            side.ask(f"while members join {version}", "DescribeGroups", 5, {"Groups": [group]})
            answer = side.quietly("JoinGroup", version, join_body(group, leader))
            member = joining.result()["MemberId"]
            side.know(member, "the follower")
            keep(side, f"the leader joined {version}", answer)
            keep(side, f"the follower joined {version}", joining.result())
            second = {**first, "GenerationId": answer["GenerationId"]}
            commit("before the assignment", 2, leader)
            side.ask(f"before the assignment {version}", "Heartbeat", beat, second)
            side.ask(f"before the assignment {version}", "DescribeGroups", 5, {"Groups": [group]})
            syncing = pool.submit(other.call, "SyncGroup", sync, {**second, "MemberId": member})
            shares = [{"MemberId": leader, "Assignment": b"one"}, {"MemberId": member, "Assignment": b"two"}]
            side.ask(f"the leader {version}", "SyncGroup", sync, {**second, "Assignments": shares})
            keep(side, f"the follower's share {version}", syncing.result())
        commit("of the follower", 2, member)
        commit("of the old generation", 1, member)
        side.ask(f"stable {version}", "DescribeGroups", 5, {"Groups": [group]})
        gone = {"GroupId": group, "MemberId": member, "Members": [{"MemberId": member}]}
        side.ask(f"the follower leaves {version}", "LeaveGroup", min(version, 5), gone)
        side.ask(f"after it left {version}", "Heartbeat", beat, second)
    other.close()


@scenario
def wrong_joins(side):
    coordinate(side, side.topic("w"))
    for version in versions("JoinGroup"):
        group = side.topic(f"w{version}")
        for label, body in (
            ("empty group", join_body("")),
            ("short session", join_body(group, SessionTimeoutMs=1)),
            ("nearly a session", join_body(group, SessionTimeoutMs=5999)),
            ("shortest session", join_body(f"{group}s", SessionTimeoutMs=6000)),
            ("longest session", join_body(f"{group}l", SessionTimeoutMs=1800000)),
            ("long session", join_body(group, SessionTimeoutMs=100000000)),
            ("no protocols", join_body(group, protocols=())),
            ("no type", join_body(group, kind="")),
            ("stranger", join_body(group, "stranger")),
            ("stranger of no type", join_body(f"{group}x", "stranger", kind="")),
            ("stranger without protocols", join_body(f"{group}x", "stranger", protocols=())),
            ("nameless protocol", join_body(f"{group}n", protocols=("",))),
        ):
            answer = side.ask(label, "JoinGroup", version, body)
        if version >= 5:
            side.know(answer["MemberId"], "given")
            side.ask("given but static", "JoinGroup", version, join_body(f"{group}n", answer["MemberId"], "static"))
            body = join_body(f"{group}n", answer["MemberId"], protocols=("",))
            side.ask("nameless protocol again", "JoinGroup", version, body)


@scenario
def static_member(side):
    coordinate(side, side.topic("s"))
    for version in range(5, 10):
        group = side.topic(f"s{version}")
        answer = side.ask("first", "JoinGroup", version, join_body(group, "", "static"))
        first = answer["MemberId"]
        side.know(first, "static 1")
        body = {"GroupId": group, "GenerationId": 1, "MemberId": first, "GroupInstanceId": "static"}
        sync = {**body, "Assignments": [{"MemberId": first, "Assignment": b"all"}]}
        named = {"ProtocolType": "consumer", "ProtocolName": "range"}
        side.ask(f"sync {version}", "SyncGroup", min(version, 5), {**sync, **named})
        answer = side.ask("again without its id", "JoinGroup", version, join_body(group, "", "static"))
        side.know(answer["MemberId"], "static 2")
        side.ask(f"fenced {version}", "Heartbeat", min(version, 4), body)
        side.ask("fenced", "JoinGroup", version, join_body(group, first, "static"))
        side.ask("unknown instance", "JoinGroup", version, join_body(group, first, "other"))
        side.ask(f"beat {version}", "Heartbeat", min(version, 4), {**body, "MemberId": answer["MemberId"]})
        gone = [{"MemberId": "", "GroupInstanceId": "static"}]
        side.ask(f"leaves by instance {version}", "LeaveGroup", min(version, 5), {"GroupId": group, "Members": gone})
        side.ask(f"left already {version}", "LeaveGroup", min(version, 5), {"GroupId": group, "Members": gone})


@scenario
def offsets(side):
    make_topic(side, "o", 2)
    coordinate(side, side.topic("og"))
    side.quietly("Produce", 9, produce_body(side, "o", batch((b"a",))))
    for version in versions("OffsetCommit"):
        group = side.topic(f"o{version}")

        def row(name, partition, offset, metadata="m", version=version):
            inner = {"PartitionIndex": partition, "CommittedOffset": offset, "CommittedMetadata": metadata}
            topic = {"Name": side.topic(name), "Partitions": [inner]}
            if version >= 10:
                from ..scenario import topic_id

                topic["TopicId"] = topic_id(side, name)
            return topic

        def ask(label, rows, group=group, generation=-1, member="", version=version, **more):
            body = {
                "GroupId": group,
                "GenerationIdOrMemberEpoch": generation,
                "MemberId": member,
                "Topics": rows,
                **more,
            }
            side.ask(label, "OffsetCommit", version, body)

        ask("simple", [row("o", 0, 5)])
        ask("two", [row("o", 0, 6), row("o", 1, 7, None)])
        ask("negative", [row("o", 0, -1)])
        ask("very negative", [row("o", 0, -9)])
        ask("partition 9", [row("o", 9, 1)])
        ask("large metadata", [row("o", 0, 6, "m" * 5000)])
        if version < 10:
            ask("missing", [row("missing", 0, 1)])
        ask("generation", [row("o", 0, 1)], generation=3, member="x")
        ask("member alone", [row("o", 0, 1)], member="x")
        ask("empty group", [row("o", 0, 1)], group="")
        ask("nothing", [])
        ask("topic twice", [row("o", 0, 1), row("o", 1, 2)])
        ask("topic twice, in part unknown", [row("o", 0, 1), row("o", 9, 2), row("o", 1, 2)])
        ask("partition twice", [row("o", 0, 1), row("o", 0, 2)])
    for version in versions("OffsetFetch"):
        for group in (side.topic("o8"), side.topic("nobody"), ""):
            for label, topics in (
                ("known", [{"Name": side.topic("o"), "PartitionIndexes": [0, 1, 9]}]),
                ("missing", [{"Name": side.topic("missing"), "PartitionIndexes": [0]}]),
                ("none", []),
                ("all", None),
            ):
                if topics is None and version < 2:
                    continue
                if version >= 10 and topics:
                    from ..scenario import topic_id

                    topics = [{**t, "TopicId": topic_id(side, t["Name"].rsplit("-", 1)[1])} for t in topics]
                body = {"GroupId": group, "Topics": topics, "Groups": [{"GroupId": group, "Topics": topics}]}
                side.ask(f"{label} of {group[-3:]}", "OffsetFetch", version, body)
        if version >= 8:
            two = [{"GroupId": side.topic(g), "Topics": None} for g in ("o8", "nobody")]
            side.ask("two groups", "OffsetFetch", version, {"Groups": two})
            side.ask("no groups", "OffsetFetch", version, {"Groups": []})
        if version >= 7:
            body = {"GroupId": side.topic("o8"), "Topics": None, "RequireStable": True}
            side.ask(
                "stable", "OffsetFetch", version, {**body, "Groups": [{"GroupId": side.topic("o8"), "Topics": None}]}
            )
    side.quietly("DeleteGroups", 2, {"GroupsNames": [""]})  # not of this run alone


@scenario
def groups_for_tools(side):
    make_topic(side, "t")
    group = side.topic("tool")
    coordinate(side, group)
    answer = side.quietly("JoinGroup", 3, join_body(group))
    member = answer["MemberId"]
    side.know(member, "member 1")
    body = {"GroupId": group, "GenerationId": 1, "MemberId": member}
    side.quietly("SyncGroup", 2, {**body, "Assignments": [{"MemberId": member, "Assignment": b"all"}]})
    rows = [{"Name": side.topic("t"), "Partitions": [{"PartitionIndex": 0, "CommittedOffset": 1}]}]
    simple = side.topic("simple")
    side.quietly(
        "OffsetCommit", 2, {"GroupId": simple, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": rows}
    )
    for version in versions("DescribeGroups"):
        for label, name in (("stable", group), ("empty", simple), ("dead", side.topic("dead")), ("none", "")):
            body = {"Groups": [name], "IncludeAuthorizedOperations": version % 2 == 1}
            side.ask(label, "DescribeGroups", version, body)
    for version in versions("ListGroups"):
        side.ask("all", "ListGroups", version, {"StatesFilter": [], "TypesFilter": []})
        if version >= 4:
            for states in (["Stable"], ["Empty"], ["stable"], ["Nonsense"], ["Stable", "Empty"]):
                side.ask(f"{states}", "ListGroups", version, {"StatesFilter": states, "TypesFilter": []})
        if version >= 5:
            for kinds in (["classic"], ["Classic"], ["consumer"], ["nonsense"], ["share"]):
                side.ask(f"{kinds}", "ListGroups", version, {"StatesFilter": [], "TypesFilter": kinds})
    for label, name, topic, partition in (
        ("of a member", group, "t", 0),
        ("simple", simple, "t", 0),
        ("again", simple, "t", 0),
        ("partition 9", simple, "t", 9),
        ("missing topic", simple, "missing", 0),
        ("dead", side.topic("dead"), "t", 0),
        ("empty group", "", "t", 0),
    ):
        topics = [{"Name": side.topic(topic), "Partitions": [{"PartitionIndex": partition}]}]
        side.ask(label, "OffsetDelete", 0, {"GroupId": name, "Topics": topics})
    side.ask("nothing", "OffsetDelete", 0, {"GroupId": simple, "Topics": []})
    for label, rows in (("known", [0, 0]), ("unknown", [9, 9]), ("both", [0, 9])):
        topics = [{"Name": side.topic("t"), "Partitions": [{"PartitionIndex": p}]} for p in rows]
        side.ask(f"twice {label}", "OffsetDelete", 0, {"GroupId": simple, "Topics": topics})
    for version in versions("DeleteGroups"):
        doomed = side.topic(f"doomed{version}")
        body = {"GroupId": doomed, "GenerationIdOrMemberEpoch": -1, "MemberId": "", "Topics": rows}
        side.quietly("OffsetCommit", 2, body)
        for label, names in (
            ("busy", [group]),
            ("right", [doomed]),
            ("again", [doomed]),
            ("empty", [""]),
            ("twice", [side.topic("dead")] * 2),
            ("nothing", []),
        ):
            side.ask(label, "DeleteGroups", version, {"GroupsNames": names})
