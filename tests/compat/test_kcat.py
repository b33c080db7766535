"""kcat, on Debian's librdkafka 2.0.2."""

import subprocess

import pytest


def kcat(bootstrap, *arguments, stdin=None, timeout=40):
    done = subprocess.run(
        ["kcat", "-b", bootstrap, *arguments], input=stdin, capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("listener", ["external", "internal"])
def test_produce_and_consume__first_use_makes_the_topic(brokers, topic, listener):
    kcat(brokers[listener], "-P", "-t", topic, "-K", ":", stdin="a:1\nb:2\n:3\n")
    out = kcat(brokers[listener], "-C", "-t", topic, "-e", "-q", "-f", "%k=%s\n")
    assert sorted(out.split()) == ["=3", "a=1", "b=2"]
    assert topic in kcat(brokers[listener], "-L")


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_codecs(bootstrap, topic, codec):
    lines = [f"{codec}-{i}-" + "x" * 100 for i in range(200)]
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", "-z", codec, stdin="\n".join(lines) + "\n")
    assert kcat(bootstrap, "-C", "-t", topic, "-e", "-q", "-f", "%s\n").split() == lines


@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_acks(bootstrap, topic, acks):
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", "-X", f"acks={acks}", stdin="r\n")
    out = kcat(bootstrap, "-C", "-t", topic, "-p", "0", "-c", "1", "-q", "-f", "%s\n")
    assert out == "r\n"


def test_headers_nulls_and_large_records(bootstrap, topic, tmp_path):
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", "-H", "h1=v1", "-H", "h2", stdin="with headers\n")
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", "-Z", "-K", ":", stdin=":\n")
    large = tmp_path / "large"
    large.write_bytes(b"L" * 900_000)
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", str(large))
    out = kcat(bootstrap, "-C", "-t", topic, "-e", "-q", "-f", "%K %S %h\n")
    assert out.splitlines() == ["-1 12 h1=v1,h2=NULL", "-1 -1 ", "-1 900000 "]


def test_too_large__is_refused_and_the_connection_lives(bootstrap, topic):
    done = subprocess.run(
        ["kcat", "-b", bootstrap, "-P", "-t", topic, "-X", "message.max.bytes=5000000", "-D", "\x01"],
        input="x" * 2_000_000,
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert "too large" in done.stderr.lower()
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", stdin="small\n")


def test_idempotent(bootstrap, topic):
    lines = [str(i) for i in range(5000)]
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", "-X", "enable.idempotence=true", stdin="\n".join(lines) + "\n")
    assert kcat(bootstrap, "-C", "-t", topic, "-e", "-q", "-f", "%s\n").split() == lines


def test_offsets__from_the_end_from_one_and_by_time(bootstrap, topic):
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", stdin="0\n1\n2\n3\n")
    assert kcat(bootstrap, "-C", "-t", topic, "-p", "0", "-o", "2", "-e", "-q", "-f", "%s ").split() == ["2", "3"]
    assert kcat(bootstrap, "-C", "-t", topic, "-p", "0", "-o", "-1", "-e", "-q", "-f", "%s ").split() == ["3"]
    assert kcat(bootstrap, "-Q", "-t", f"{topic}:0:-1").strip().endswith("offset 4")
    assert kcat(bootstrap, "-Q", "-t", f"{topic}:0:1").strip().endswith("offset 0")


def test_group__resumes_where_it_committed(bootstrap, topic):
    kcat(bootstrap, "-P", "-t", topic, "-p", "0", stdin="\n".join("abcdef") + "\n")
    take = ["-X", "auto.offset.reset=earliest", "-q", "-f", "%s", topic]
    assert kcat(bootstrap, "-G", f"g-{topic}", "-c", "2", *take) == "ab"
    assert kcat(bootstrap, "-G", f"g-{topic}", "-c", "4", *take) == "cdef"
