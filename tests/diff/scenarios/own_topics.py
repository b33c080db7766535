"""Topics with the names of Kafka's own: they are made by request like any other, and only read."""

from ..scenario import batch, produce_body, scenario, wait_for_topic


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

        side.quietly("DeleteTopics", 5, {"TopicNames": [name], "TimeoutMs": 5000})  # of an earlier run
        row = {"Name": name, "NumPartitions": 2, "ReplicationFactor": 1, "Assignments": [], "Configs": []}
        for validate in (True, False, False):
            label = f"{validate} {len(side.answers)}"
            say(label, "CreateTopics", 7, {"Topics": [row], "TimeoutMs": 10000, "ValidateOnly": validate})
        if name != "__cluster_metadata":  # which nobody can make
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
