"""One broker, spoken to by our second reading of the schemas, and what it answered, in words that two brokers share.

What rightly differs between two brokers is named, not compared: the node, its address, ids that a broker draws, times
of its own clock, texts of messages. Lists are sorted, since no client depends on their order.
"""

import json
import re
import socket
import struct
import time
import uuid

from support import kafka_schema

MESSAGES = kafka_schema.load()
APIS = {m.name.removesuffix("Request"): m for m in MESSAGES.values() if m.is_request}
PATIENCE_S = 20
NOW_MS = int(time.time() * 1000) - 3_600_000  # an hour ago, for both brokers; what is old falls to retention
BEGIN_MS = int(time.time() * 1000) - 60_000  # later times are of a broker's clock
NODES = {
    "NodeId",
    "LeaderId",
    "BrokerId",
    "ControllerId",
    "ReplicaNodes",
    "IsrNodes",
    "BrokerIds",
    "Replicas",
    "ReplicaId",
}
TEXTS = {"Documentation"}
MESSAGES_OF_ERRORS = {"ErrorMessage", "BatchIndexErrorMessage", "ConfigErrorMessage"}
TIMES = {"LogAppendTimeMs", "LastFetchTimestamp", "LastCaughtUpTimestamp"}
ADDRESSES = {"Host", "Port", "ClusterId", "ClientHost", "LogDir", "ReplicaDirectoryId"}
DRAWN = {"MemberId", "ProducerId", "Leader", "SessionId"}
SIZES = {"TotalBytes", "UsableBytes"}


class Closed(Exception):
    """The broker ended the connection instead of an answer."""


class Peer:
    """A connection that is made again when the broker has ended it."""

    def __init__(self, address):
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.socket = None
        self.correlation = 0

    def close(self):
        if self.socket:
            self.socket.close()
        self.socket = None

    def send(self, frame, size=None):
        """`size` is told in place of the frame's own."""
        if not self.socket:
            self.socket = socket.create_connection((self.host, self.port), PATIENCE_S)
        self.socket.sendall(struct.pack(">i", len(frame) if size is None else size) + frame)

    def receive(self):
        try:
            size = struct.unpack(">i", self._take(4))[0]
            return self._take(size)
        except (Closed, ConnectionError):
            self.close()
            raise Closed from None

    def _take(self, size):
        out = b""
        while len(out) < size:
            piece = self.socket.recv(size - len(out))
            if not piece:
                raise Closed
            out += piece
        return out

    def call(self, api, version, body, octets=None, answered=True):
        """The decoded answer. `octets` are sent as the body in place of what `body` gives."""
        request = APIS[api]
        response = MESSAGES[api + "Response"]
        flexible = version in request.flexible
        self.correlation += 1
        header = struct.pack(">hhi", request.key, version, self.correlation) + struct.pack(">h", 4) + b"diff"
        header += b"\0" if flexible else b""
        try:
            self.send(header + (request.encode(version, body) if octets is None else octets))
            if not answered:
                return None
            frame = self.receive()
        except ConnectionError:
            self.close()
            raise Closed from None
        assert struct.unpack(">i", frame[:4])[0] == self.correlation
        at = 4 + (1 if flexible and api != "ApiVersions" else 0)
        version = version if version in request.versions else 0
        if api == "ApiVersions" and frame[4:6] == b"\0\x23":
            version = 0
        answer, left = response.decode(version, frame[at:])
        assert not left, f"{api} {version}: {len(left)} bytes are left"
        return answer


class Side:
    """One of the two brokers in one run of a scenario: what was asked, and what it said in shared words."""

    def __init__(self, name, address, prefix, served=None, listed=()):
        self.name = name
        self.served = served
        self.listed = listed
        self.peer = Peer(address)
        self.prefix = prefix
        self.answers = {}
        self.bodies = {}  # of requests that were made up, for the report
        self.words = {}
        self.node = None

    def topic(self, name):
        return f"{self.prefix}-{name}"

    def know(self, value, word):
        """From now on `word` stands for a value that this broker has drawn."""
        self.words[value] = word

    def ask(self, label, api, version, body, **more):
        """Ask, keep the answer for the comparison, and return it as it came; None when there was none. What our server
        does not list is not asked."""
        if APIS[api].key not in self.served:
            return None
        try:
            answer = self.peer.call(api, version, body, **more)
        except Closed:
            answer = None
        except TimeoutError:
            self.peer.close()
            answer = "no answer"
        except (ValueError, AssertionError, struct.error) as error:
            self.peer.close()
            answer = f"an answer that is none: {error!r}"
        said = "the connection ends" if answer is None else self.shared(answer)
        if not more.get("answered", True):
            said = "nothing is said"
        key = f"{label} {api} v{version}"
        assert key not in self.answers, f"two requests are called {key}"
        self.answers[key] = said
        return answer if isinstance(answer, dict) else None

    def quietly(self, api, version, body, **more):
        """Ask without a comparison."""
        return self.peer.call(api, version, body, **more)

    # -- shared words

    def shared(self, value, name=""):
        if isinstance(value, dict):
            words = {key: self.shared(inner, key) for key, inner in value.items()}
            if value.get("ErrorCode") and value.get("LeaderId") == 0:
                words["LeaderId"] = 0  # its default, where no node is meant, and even if ours has that number
            return words
        if isinstance(value, list):
            rows = [self.shared(inner, name) for inner in value if not self.is_strange(inner)]
            return sorted(rows, key=lambda row: json.dumps(row, sort_keys=True))
        if isinstance(value, uuid.UUID):
            return self.words.get(value, "zero" if value.int == 0 else "an id")
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, float):
            return repr(value)
        return self.shared_scalar(value, name)

    def shared_scalar(self, value, name):
        if value in self.words and not isinstance(value, bool) and name in DRAWN:
            return self.words[value]
        if name == "ResourceName" and value == str(self.node):
            return "the node"
        if name in NODES:
            return "the node" if value == self.node else value
        if name in TEXTS:
            return "null" if value is None else "empty" if value == "" else "a text"
        if name in MESSAGES_OF_ERRORS and value:
            return re.sub(r"within \[-?\d+, -?\d+\]", "within [a range]", value)
        if name in TIMES or name == "Timestamp":
            return value if value < BEGIN_MS else "a time"
        if name in ADDRESSES:
            return "null" if value is None else "empty" if value in ("", -1) else "an address"
        if name in DRAWN:
            return value if value in (-1, 0, "", None) else "drawn"
        if name == "FinalizedFeaturesEpoch":
            return value if value < 0 else "an epoch"
        if name in SIZES:
            return value if value in (-1, 0) else "a size"
        return value

    def is_strange(self, row):
        """A topic or group of another run or of the broker itself, in a list of all."""
        if not isinstance(row, dict):
            return False
        named = [row[k] for k in ("Name", "TopicName", "Topic", "GroupId", "ResourceName") if row.get(k)]
        other = re.compile(r"diff-[0-9a-f]{6}-|__|notification$|user_created$")
        return any(isinstance(n, str) and other.match(n) and not n.startswith(self.prefix) for n in named)


def wait_until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.05)
