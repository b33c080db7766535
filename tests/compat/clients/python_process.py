"""The command loop of Python clients that need a process, or packages, of their own (remote.py tells the form)."""

import base64
import json
import sys


def unpack(text):
    return None if text == "-" else base64.b64decode(text)


def pack(octets):
    return None if octets is None else base64.b64encode(octets).decode()


def record_of(text):
    """(partition or None, key, value, headers)"""
    partition, key, value, listed = text.split(";")
    headers = [header.split(":") for header in listed.split(",")] if listed else []
    return (
        int(partition) if int(partition) >= 0 else None,
        unpack(key),
        unpack(value),
        [(name, unpack(octets)) for name, octets in headers],
    )


def written(found):
    return {
        "partition": found.partition,
        "offset": found.offset,
        "timestamp": found.timestamp,
        "key": pack(found.key),
        "value": pack(found.value),
        "headers": [[name, pack(value)] for name, value in found.headers],
    }


def serve(verbs):
    """Calls verbs[VERB](given), where given maps names to texts and "records" to a list."""
    for line in sys.stdin:
        verb, *words = line.rstrip("\n").split("\t")
        given = {"records": []}
        for word in words:
            name, _, value = word.partition("=")
            if name == "record":
                given["records"].append(record_of(value))
            else:
                given[name] = value
        try:
            answer = verbs[verb](given)
        except Exception as error:  # whatever it is, the test that asked is told
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
