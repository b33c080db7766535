"""The journal's files as the kernel sees them: frames go past the page cache, to blocks that are there already."""

import os
import pathlib

import pytest
from support.server import wait_for


def journal_files(server):
    return sorted((server.data / "journal").glob("[0-9]*"))


def flags_of_open(server, files):
    """The flags of each of these files that the server has open."""
    folder = pathlib.Path(f"/proc/{server.process.pid}")
    flags = []
    for link in (folder / "fd").iterdir():
        try:
            if pathlib.Path(os.readlink(link)) in files:
                lines = (folder / "fdinfo" / link.name).read_text().splitlines()
                flags.append(int(next(line.split()[1] for line in lines if line.startswith("flags:")), 8))
        except FileNotFoundError:
            pass  # closed since it was listed
    return flags


def produce(server, megabytes):
    server.kcat("-P", "-t", "t", "-p", "0", stdin="".join("x" * 100_000 + "\n" for _ in range(10 * megabytes)))


@pytest.fixture
def server(make_eventbox):
    """More than one file, made by the start and while it is written to."""
    server = make_eventbox(modules="broker").start()
    first = journal_files(server)
    wait_for(lambda: produce(server, 2) or set(journal_files(server)) - set(first), what="one more file")
    return server


def test_journal__frames_go_past_the_page_cache_and_are_synced_by_their_write(server, tmp_path):
    probe = tmp_path / "probe"
    probe.touch()
    try:
        os.close(os.open(probe, os.O_RDWR | os.O_DIRECT))
    except OSError:
        pytest.skip("this file system has no O_DIRECT")
    flags = flags_of_open(server, journal_files(server))
    assert flags and all(each & os.O_DIRECT and each & os.O_DSYNC for each in flags)


def test_journal__files_have_their_blocks_before_frames_need_them(server, tmp_path):
    """Else each frame would allocate, and a disk that fills up would be met in the middle of one."""
    probe = tmp_path / "probe"
    with open(probe, "wb") as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
    if probe.stat().st_blocks * 512 < 1 << 20:
        pytest.skip("this file system does not count blocks, or keeps none for zeros")
    for path in journal_files(server):
        found = path.stat()
        assert found.st_blocks * 512 >= found.st_size, path
