"""Topics with the names of Kafka's own: they are made by request like any other, and only read."""

from ..peer import wait_until
from ..scenario import batch, coordinate, produce_body, scenario, wait_for_topic


def delete(side, name):
    side.quietly("DeleteTopics", 5, {"TopicNames": [name], "TimeoutMs": 5000})
    body = {"Topics": [{"Name": name}], "AllowAutoTopicCreation": False}
    wait_until(lambda: side.quietly("Metadata", 9, body)["Topics"][0]["ErrorCode"] == 3, f"the end of {name}")


def make_by_name(side, name):
    """By the mere use of its name, with partitions and configs of its own."""
    side.quietly("Metadata", 9, {"Topics": [{"Name": name}], "AllowAutoTopicCreation": True})
    row = wait_for_topic(side, name)
    rows = [{"ResourceType": 2, "ResourceName": name, "ConfigurationKeys": None}]
    configs = side.quietly("DescribeConfigs", 4, {"Resources": rows})["Results"][0]["Configs"]
    own = sorted((c["Name"], c["Value"]) for c in configs if c["ConfigSource"] == 1)
    side.answers[f"{name} made by its name"] = [row["IsInternal"], len(row["Partitions"]), own]
    delete(side, name)


@scenario
def own_topics(side):
    """The rows are kept as they come: names of a broker's own topics are left out of the lists of other scenarios."""
    for name in ("__share_group_state", "__transaction_state", "__cluster_metadata"):

        def say(label, api, version, body, name=name):
            answer = side.quietly(api, version, body)
            rows = [rows for rows in answer.values() if isinstance(rows, list)][0]
            side.answers[f"{label} {name} {api}"] = [
                [row.get(field) for field in ("ErrorCode", "ErrorMessage", "NumPartitions", "IsInternal", "Partitions")]
                for row in rows
            ]

        delete(side, name)  # of an earlier run
        if name != "__cluster_metadata":  # which nobody can make
            make_by_name(side, name)
        row = {"Name": name, "NumPartitions": 2, "ReplicationFactor": 1, "Assignments": [], "Configs": []}
        for validate in (True, False, False):
            label = f"{validate} {len(side.answers)}"
            say(label, "CreateTopics", 7, {"Topics": [row], "TimeoutMs": 10000, "ValidateOnly": validate})
        if name != "__cluster_metadata":
            wait_for_topic(side, name)
        body = produce_body(side, name, batch(), topic=name)
        answer = side.quietly("Produce", 9, body)["Responses"][0]["PartitionResponses"][0]
        side.answers[f"{name} Produce"] = answer["ErrorCode"]
        parts = [{"PartitionIndex": 0, "Offset": 0}]
        say("0", "DeleteRecords", 2, {"Topics": [{"Name": name, "Partitions": parts}], "TimeoutMs": 5000})
        for count in (1, 3):
            more = {"Topics": [{"Name": name, "Count": count, "Assignments": None}], "TimeoutMs": 5000}
            say(f"{count}", "CreatePartitions", 3, more | {"ValidateOnly": False})
        for i in range(2):
            say(f"{i}", "DeleteTopics", 5, {"TopicNames": [name], "TimeoutMs": 5000})


@scenario
def topic_of_offsets(side):
    """It is never deleted here, since the groups of other scenarios are in it."""
    name = "__consumer_offsets"
    coordinate(side, side.topic("g"))
    now = len(wait_for_topic(side, name)["Partitions"])
    for more in (-1, 0, 1):
        rows = [{"Name": name, "Count": now + more, "Assignments": None}]
        body = {"Topics": rows, "TimeoutMs": 5000, "ValidateOnly": True}
        answer = side.quietly("CreatePartitions", 3, body)["Results"][0]
        side.answers[f"{more} of the offsets' CreatePartitions"] = answer["ErrorCode"]
