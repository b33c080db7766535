"""Bytes that are almost a request: cut, with a tail, with a byte changed, left out or put in.

What comes out may be a good request of another meaning. One that would wait, make thousands of partitions, or ask for
what is unlike on purpose is not sent; our own reading of the schemas tells.
"""

from .bodies import asks_for_many

CUTS_ALONE = {"JoinGroup", "Produce"}  # what else might come of it waits, or is the matter of other scenarios
# A name with a zero byte in it stands in the texts of our messages up to there alone, since those are texts of C.
BYTES = (0, 1, 2, 9, 0x7F, 0x80, 0xFE, 0xFF)


def damage(api, version, message, octets, rng, drawn):
    """Other octets and what was done to them; None where they would not do. Ids that each broker has drawn for itself
    are left alone: what is another byte in one of them may be the same in the other, and one that is shifted gives
bytes of its own to the next field."""
    kinds = ["cut", "cut", "tail"]
    if api not in CUTS_ALONE and not (api == "Metadata" and version < 4):
        kinds += ["byte", "byte", "byte", "left out", "put in"]
    kind = rng.choice(kinds)
    at = rng.randrange(len(octets)) if octets else 0
    new = bytes([rng.choice(BYTES)])
    if kind == "tail" or not octets:
        found = octets + new * rng.choice((1, 2, 9))
    elif kind == "cut":
        found = octets[:at]
    elif kind == "byte":
        found = octets[:at] + new + octets[at + 1 :]
    elif kind == "left out":
        found = octets[:at] + octets[at + 1 :]
    else:
        found = octets[:at] + new + octets[at:]
    if kind == "byte" and any(octets[:at + 16].find(id, max(at - 15, 0)) >= 0 for id in drawn):
        return None
    if kind in ("left out", "put in") and any(octets.find(id, max(at - 15, 0)) >= 0 for id in drawn):
        return None
    return (found, f"{kind} at {at}") if is_harmless(message, version, found) else None


def read(message, version, octets):
    """The body that the bytes are, or None."""
    try:
        return message.decode(version, octets)[0]
    except Exception:  # whatever the bytes lead the reader into
        return None


def is_harmless(message, version, octets):
    body = read(message, version, octets) or {}
    if message.name == "CreatePartitionsRequest" and body and asks_for_many(body) and not body["ValidateOnly"]:
        return False
    return all(is_harmless_value(name, value) for name, value in values_of(body))


def values_of(body):
    for name, value in body.items():
        rows = value if isinstance(value, list) else [value]
        for row in rows:
            if isinstance(row, dict):
                yield from values_of(row)
            else:
                yield name, row


def is_harmless_value(name, value):
    if isinstance(value, str):
        return "\0" not in value and (name != "TransactionalId" or value == "")
    if name == "SessionId":
        return -(1 << 27) < value < 1 << 30  # others make Kafka fall over the table of its shards
    if name == "MaxWaitMs":
        return value <= 100
    if name == "TimeoutMs":
        return value <= 0 or 5000 <= value
    if name in ("NumPartitions", "Count"):
        return value <= 10 or 10000 < value <= 1 << 20  # of more, Kafka runs out of memory
    if name == "AllowAutoTopicCreation":
        return not value
    if name == "BrokerId":
        return value != 0  # unregistered, it would be gone
    return not (name == "KeyType" and value == 1 or name == "ReplicationFactor" and value > 1)
