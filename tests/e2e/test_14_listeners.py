"""The Kafka listeners: both families of addresses, what they advertise, and who does not belong there."""

import socket
import struct
import sys
import time

import pytest
from support.server import ROOT, Eventbox, wait_for

sys.path.append(str(ROOT / "tests/compat"))

from raw import Raw, call  # noqa: E402


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as s:
            s.bind(("::1", 0))
        return True
    except OSError:
        return False


HOSTS = ["127.0.0.1"] + (["::1"] if has_ipv6() else [])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Eventbox(tmp_path_factory.mktemp("listeners") / "data", modules="broker").start()
    yield server
    server.close()


def told(bootstrap):
    """Where Metadata and FindCoordinator send a client that came by @bootstrap."""
    broker = call(bootstrap, "Metadata", 1, topics=[]).brokers[0]
    coordinator = call(bootstrap, "FindCoordinator", 1, key="g", key_type=0)
    assert (broker.host, broker.port) == (coordinator.host, coordinator.port)
    return broker.host, broker.port


@pytest.mark.parametrize("host", HOSTS)
def test_each_listener_tells_the_address_that_it_was_reached_by_G21(server, host):
    for port in (server.external, server.internal):
        assert told(f"{host}:{port}") == (host, port)


def listed(bootstrap):
    node = call(bootstrap, "Metadata", 1, topics=[]).brokers[0].node_id
    row = {"resource_type": 4, "resource_name": str(node), "configuration_keys": ["listeners", "advertised.listeners"]}
    return {c.name: c.value for c in call(bootstrap, "DescribeConfigs", 1, resources=[row]).results[0].configs}


@pytest.mark.parametrize("host", HOSTS)
def test_configs_of_the_broker_name_both_listeners(server, host):
    """Whichever a tool came by."""
    reached = f"[{host}]" if ":" in host else host
    for port in (server.external, server.internal):
        assert listed(f"{host}:{port}") == {
            "listeners": f"external://localhost:{server.external},internal://localhost:{server.internal}",
            "advertised.listeners": f"external://{reached}:{server.external},internal://{reached}:{server.internal}",
        }


def test_each_listener_has_an_advertised_address_of_its_own_G21(tmp_path):
    server = Eventbox(
        tmp_path / "data",
        modules="broker",
        args=[
            "--broker.external_advertised_host=outside.example",
            "--broker.external_advertised_port=19092",
            "--broker.internal_advertised_host=inside.example",
        ],
    ).start()
    try:
        assert told(f"127.0.0.1:{server.external}") == ("outside.example", 19092)
        assert told(f"127.0.0.1:{server.internal}") == ("inside.example", server.internal)
        outside = "external://outside.example:19092,internal://inside.example:%d" % server.internal
        for port in (server.external, server.internal):
            assert listed(f"127.0.0.1:{port}")["advertised.listeners"] == outside
    finally:
        server.close()


def kafka_header(key, version, rest=b""):
    body = struct.pack(">hhih", key, version, 1, 4) + b"cli1" + rest
    return struct.pack(">i", len(body)) + body


STRANGERS = {
    "HTTP": (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "seems to speak HTTP"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "seems to speak HTTP/2"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "seems to speak TLS"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "seems to speak SSH"),
    "AMQP": (b"AMQP\x00\x00\x09\x01", "seems to speak AMQP"),
    "PostgreSQL": (struct.pack(">ii", 8, 80877103), "seems to speak PostgreSQL"),
    "PostgreSQL without TLS": (struct.pack(">ii", 22, 196608) + b"user\0postgres\0\0", "seems to speak PostgreSQL"),
    "Redis": (b"*1\r\n$4\r\nPING\r\n", "seems to speak Redis (RESP)"),
    "Redis, typed": (b"PING\r\n", "seems to speak Redis (RESP)"),
    "MQTT": (b"\x10\x0c\0\4MQTT\4\2\0\x3c\0\0", "seems to speak MQTT"),
    "Fluentd": (b"\x93\xa9user.info\xce\x65\x00\x00\x00\x80", "seems to speak Fluentd's forward protocol"),
    "garbage": (b"\xff" * 64, "a frame of 4294967295 bytes was announced"),
    "zeros": (b"\0" * 64, "a frame of 0 bytes was announced"),
    "SASL first": (kafka_header(17, 1, b"\0\5PLAIN"), "wants SASL"),
    "SASL first, version 0": (kafka_header(17, 0, b"\0\5PLAIN"), "wants SASL"),
    "an API of brokers": (kafka_header(4, 0), "api key 4 version 0 of client 'cli1' is not served"),
    "a version to come": (kafka_header(3, 99), "Metadata version 99 of client 'cli1' is not served"),
    "half a header": (struct.pack(">i", 5) + b"\0\3\0\1\0", "shorter than a request header"),
}


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("listener", ["external", "internal"])
def test_a_stranger_ends_with_one_clear_line_G6_G12(make_eventbox, who, listener):
    server = make_eventbox(modules="broker").start()  # one of its own: lines that strangers cause have a rate limit
    sent, expected = STRANGERS[who]
    with socket.create_connection(("127.0.0.1", getattr(server, listener)), 20) as s:
        address = "%s:%d" % s.getsockname()
        s.sendall(sent)
        answer = b""
        while more := s.recv(4096):  # it ends
            answer += more
    assert answer.startswith(b"HTTP/1.1 400") == (who == "HTTP")

    def lines():
        return [line for line in server.log_lines() if line.get("details", {}).get("peer") == address]

    wait_for(lines, what="a line about the peer")
    assert len(lines()) == 1
    assert expected in lines()[0]["details"]["what"]


def test_a_silent_connection_is_closed_after_connections_idle(tmp_path):
    server = Eventbox(tmp_path / "data", modules="broker", args=["--broker.connections_idle=1s"]).start()
    try:
        with Raw(server.bootstrap) as raw:
            raw.socket.settimeout(20)
            raw.call("Metadata", 1, topics=[])
            assert raw.socket.recv(1) == b""
    finally:
        server.close()


def test_connections_beyond_the_limit_are_closed_and_counted(tmp_path):
    server = Eventbox(tmp_path / "data", modules="broker", args=["--broker.connections_max=3"]).start()
    try:
        end = time.monotonic() + 20
        held = []
        while len(held) < 3:  # those of the start's own checks may still be there
            assert time.monotonic() < end
            raw = Raw(server.bootstrap)
            try:
                raw.call("Metadata", 1, topics=[])
                held.append(raw)
            except OSError:
                pass
            except Exception as error:
                assert type(error).__name__ == "Closed"
        for _ in range(5):
            with socket.create_connection(("127.0.0.1", server.external), 20) as s:
                assert s.recv(1) == b""
        lines = [line for line in server.log_lines() if line["action"] == "connections_full"]
        assert 0 < len(lines) < 5 and lines[0]["details"]["connections_max"] == 3
        assert "broker.connections_max" in lines[0]["details"]["what"]
        held[0].socket.close()
        wait_for(lambda: answers(server.bootstrap), what="room for another")
        for raw in held:
            raw.socket.close()
    finally:
        server.close()


def answers(bootstrap):
    try:
        return call(bootstrap, "Metadata", 1, topics=[]) is not None
    except Exception:
        return False
