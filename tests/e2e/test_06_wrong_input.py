"""Wrong bytes on every port: a clear end, one log line, and everybody else goes on."""

import socket
import struct

import pytest
from support.server import wait_for

HTTP_CASES = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100,  # a TLS hello
    b"\x00" * 64,
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",  # no Host
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"POST /users/ HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 3000 + b"\r\n",
]


def talk(port, data, timeout=10):
    with socket.create_connection(("127.0.0.1", port), timeout) as s:
        try:
            s.sendall(data)
            answer = b""
            while True:
                piece = s.recv(65536)
                if not piece:
                    return answer
                answer += piece
        except ConnectionError:
            return answer if "answer" in locals() else b""


@pytest.mark.parametrize("case", range(len(HTTP_CASES)))
@pytest.mark.parametrize("port", ["users", "notify"])
def test_http_ports(eventbox, port, case):
    answer = talk(getattr(eventbox, port), HTTP_CASES[case])
    assert answer == b"" or answer.split(b" ")[1].startswith(b"4") or answer.split(b" ")[1] == b"505", answer
    assert answer.count(b"HTTP/1.1 ") <= 1
    assert eventbox.user_service("GET", "/healthz").status == 200


def frame(body):
    return struct.pack(">i", len(body)) + body


KAFKA_CASES = [
    (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, "TLS"),
    (struct.pack(">i", -1), None),
    (struct.pack(">i", 0x7FFFFFFF) + b"x" * 10, None),
    (struct.pack(">i", 0), None),
    (frame(b"\x00\x03"), None),
    (frame(struct.pack(">hhih", 3, 9, 1, -1) + b"\xff" * 20), None),  # arrays beyond the frame
    (frame(struct.pack(">hhih", 999, 0, 1, -1)), None),  # unknown API
]


@pytest.mark.parametrize("case", range(len(KAFKA_CASES)))
@pytest.mark.parametrize("port", ["external", "internal"])
def test_kafka_ports(eventbox, port, case):
    data, word = KAFKA_CASES[case]
    talk(getattr(eventbox, port), data)
    line = wait_for(lambda: [x for x in eventbox.log_lines() if x["action"] == "bad_peer"], what="the log line")[0]
    if word:
        assert word in str(line["details"])
    assert "notification" in eventbox.kcat("-L")


def test_kafka__unknown_api_versions_version_gets_error_35(eventbox):
    with socket.create_connection(("127.0.0.1", eventbox.external), 10) as s:
        s.sendall(frame(struct.pack(">hhih", 18, 99, 7, -1)))
        size, correlation, error = struct.unpack(">iih", s.recv(65536)[:10])
        assert (correlation, error) == (7, 35)


def test_huge_body__is_refused_before_it_is_read(eventbox):
    head = (
        b"POST /users/ HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 999999999999\r\n\r\n"
    )
    assert b" 413 " in talk(eventbox.users, head + b"{")


def test_text_plain__is_not_json(eventbox):
    answer = eventbox.user_service("POST", "/users/", '{"username":"a"}', headers={"content-type": "text/plain"})
    assert answer.status in (415, 422)


def test_gzip_body__is_refused(eventbox):
    answer = eventbox.user_service(
        "POST", "/users/", b"\x1f\x8b", headers={"content-type": "application/json", "content-encoding": "gzip"}
    )
    assert answer.status == 415


def test_produce__corrupt_batch_is_refused_and_nothing_is_stored(eventbox):
    eventbox.kcat("-P", "-t", "whole", "-p", "0", stdin="good\n")
    batch = bytearray(
        struct.pack(">qiibIhiqqqhii", 0, 49 + 8, -1, 2, 0xDEADBEEF, 0, 0, 0, 0, -1, -1, -1, 1)
        + b"\x0e\x00\x00\x00\x01\x02x\x00"
    )
    batch[8:12] = struct.pack(">i", len(batch) - 12)
    body = struct.pack(">hhih", 0, 3, 5, -1) + struct.pack(">hhii", -1, -1, 10000, 1)
    body += struct.pack(">h", 5) + b"whole" + struct.pack(">iii", 1, 0, len(batch)) + bytes(batch)
    with socket.create_connection(("127.0.0.1", eventbox.external), 10) as s:
        s.sendall(frame(body))
        answer = s.recv(65536)
    assert struct.unpack(">h", answer[4 + 4 + 4 + 2 + 5 + 4 + 4 :][:2])[0] == 2, answer
    assert eventbox.consume("whole", "%s\n") == "good\n"


@pytest.mark.parametrize(
    "port, one, more, wrong",
    [
        ("external", "bad_peer", "bad_peers", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("users", "http_rejected", "http_rejected_more", b"\x00" * 64),
        ("notify", "http_rejected", "http_rejected_more", b"\x00" * 64),
    ],
    ids=["kafka", "users", "notify"],
)
def test_flood_of_bad_peers__has_ten_lines_and_one_that_counts_the_rest(eventbox, port, one, more, wrong):
    for _ in range(35):
        talk(getattr(eventbox, port), wrong)

    def told(action):
        return [line for line in eventbox.log_lines() if line["action"] == action]

    def all_are_told():
        return len(told(one)) + sum(line["details"]["connections"] for line in told(more)) == 35

    wait_for(all_are_told, timeout=60, what="every connection told or counted")
    assert len(told(more)) >= 1
    assert len(told(one)) <= 10 * (1 + len(told(more)))
