"""`eventbox log verify` and `eventbox log dump` on folders of the real server."""

import json
import os
import shutil
import subprocess

import pytest

from support.server import binary, clean_environment

SOUND, LOSS, CANNOT, MENDS, IN_USE = 0, 1, 2, 3, 4


def log_command(data, *arguments):
    """The command's exit code, standard output and standard error."""
    done = subprocess.run(
        [binary(), "log", *arguments, "--data", str(data)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr[-4000:]
    return done.returncode, done.stdout, done.stderr


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def content_of(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def filled(make_eventbox):
    """A server that has taken thirty records on topic `rot`, one a batch."""
    server = make_eventbox(modules="broker").start()
    for i in range(30):
        server.kcat("-P", "-t", "rot", "-p", "0", "-k", f"key-{i}", stdin=f"record-{i}-" + "x" * 200 + "\n")
    return server


def segment_of(server, marker):
    return next(p for p in server.data.glob("topics/*-0/*.log") if marker in p.read_bytes())


def rot(path, marker):
    data = bytearray(path.read_bytes())
    data[data.index(marker) + len(marker) + 5] ^= 0xFF
    path.write_bytes(data)


def test_log_verify__sound_folder_after_stop_and_after_kill_is_left_untouched(filled):
    filled.kill()
    before = content_of(filled.data)
    code, out, err = log_command(filled.data, "verify")
    assert (code, err) == (SOUND, ""), out
    assert out.rstrip().endswith("all is well")
    assert content_of(filled.data) == before
    filled.start()
    assert filled.stop() == 0
    code, out, _ = log_command(filled.data, "verify", "--json")
    summary = json_lines(out)[-1]
    assert code == SOUND and summary["kind"] == "summary"
    assert summary["loss"] == summary["mends"] == 0 and summary["records"] >= 30


def test_log_verify__a_journal_that_was_removed_is_loss_and_the_next_start_says_so(filled):
    filled.kill()
    shutil.rmtree(filled.data / "journal")
    code, out, _ = log_command(filled.data, "verify")
    assert code == LOSS and "journal file 00000000 is missing" in out, out
    filled.start()
    assert filled.stop() == 0
    assert "journal file 00000000 is missing" in filled.log()
    assert log_command(filled.data, "verify")[0] == SOUND


def test_log_verify__a_pipe_in_the_place_of_a_segment_holds_up_nobody(filled):
    assert filled.stop() == 0
    path = segment_of(filled, b"record-0-")
    path.unlink()
    os.mkfifo(path)
    code, out, _ = log_command(filled.data, "verify")
    assert code == LOSS and path.name in out, out


def test_log_verify__what_stands_in_the_place_of_something_else_is_named(filled):
    assert filled.stop() == 0
    (filled.data / "checkpoint.0").unlink()
    (filled.data / "checkpoint.0").mkdir()
    code, out, err = log_command(filled.data, "verify")
    assert code == CANNOT and "checkpoint.0 is a folder" in out + err, out + err
    (filled.data / "checkpoint.0").rmdir()
    (filled.data / "checkpoint.0").symlink_to("nowhere")
    code, out, err = log_command(filled.data, "verify")
    assert code == CANNOT and "checkpoint.0 cannot be opened: " in out + err, out + err


def test_log_verify__names_lost_records_and_says_so_by_its_exit_code(filled):
    assert filled.stop() == 0
    path = segment_of(filled, b"record-0-")
    rot(path, b"record-7-")
    (filled.data / "topics" / "999-0").mkdir()
    code, out, _ = log_command(filled.data, "verify", "--json")
    assert code == LOSS
    loss = [line for line in json_lines(out) if line.get("level") == "loss"]
    assert len(loss) == 1
    assert loss[0]["topic"] == "rot" and loss[0]["partition"] == 0
    assert loss[0]["from"] == loss[0]["to"] == 7
    assert loss[0]["file"] == str(path.relative_to(filled.data))
    orphans = [line["file"] for line in json_lines(out) if line["kind"] == "orphan"]
    assert orphans == ["topics/999-0"]
    code, out, _ = log_command(filled.data, "verify")
    assert code == LOSS and "loss: topic rot partition 0, offsets 7 to 7, topics/" in out


def test_log_verify__nothing_lost_has_a_code_of_its_own(filled):
    assert filled.stop() == 0
    (filled.data / "topics" / "999-0").mkdir()
    code, out, _ = log_command(filled.data, "verify")
    assert code == MENDS and "mends: topics/999-0: it belongs to no topic that exists" in out
    assert out.rstrip().splitlines()[-1].endswith("nothing is lost, 1 findings of what mends itself")


def test_log_verify__folder_in_use_is_refused_in_one_line_and_read_live(filled):
    code, out, err = log_command(filled.data, "verify")
    assert code == IN_USE and out == ""
    assert err.count("\n") == 1 and f"process {filled.process.pid}" in err and "--live" in err
    code, out, _ = log_command(filled.data, "verify", "--live")
    assert code == SOUND and "as of the newest checkpoint" in out
    assert filled.consume("rot", "%k\n").split() == [f"key-{i}" for i in range(30)]


def damage_checkpoints(data):
    """Both checkpoints become unreadable: the first record of each begins with its header."""
    for path in data.glob("checkpoint.?"):
        content = bytearray(path.read_bytes())
        content[70] ^= 0xFF
        path.write_bytes(content)


def test_log_verify__a_folder_without_a_valid_checkpoint_has_lost_nothing(filled):
    assert filled.stop() == 0
    damage_checkpoints(filled.data)
    before = content_of(filled.data)
    code, out, err = log_command(filled.data, "verify", "--json")
    lines = json_lines(out)
    assert (code, err) == (MENDS, ""), out
    assert not [line for line in lines if line.get("level") == "loss"]
    told = [line["text"] for line in lines if line.get("level") == "mends"]
    assert any("every folder below topics/ is read" in text for text in told)
    assert sum("there is no valid one" in text for text in told) == 2
    assert lines[-1]["loss"] == 0 and lines[-1]["mends"] == len(told) and lines[-1]["records"] >= 30
    assert content_of(filled.data) == before
    # And the start that it foretells serves all of them, says so, and loses nothing either.
    filled.start()
    assert filled.consume("rot", "%k\n").split() == [f"key-{i}" for i in range(30)]
    actions = [line["action"] for line in filled.log_lines()]
    assert "log_mended" in actions and "log_damaged" not in actions


@pytest.mark.parametrize("command", ["verify", "dump"])
def test_log_commands__folder_of_a_newer_format_is_refused_as_a_start_does(filled, command):
    assert filled.stop() == 0
    meta = json.loads((filled.data / "meta.json").read_text())
    (filled.data / "meta.json").write_text(json.dumps({**meta, "format": meta["format"] + 1}))
    before = content_of(filled.data)
    code, out, err = log_command(filled.data, command)
    assert (code, out) == (CANNOT, "") and err.count("\n") == 1
    assert f"has format {meta['format'] + 1}" in err and "start the newer eventbox that wrote it" in err
    assert content_of(filled.data) == before


def test_log_verify__mistakes_are_one_line(filled, tmp_path):
    assert filled.stop() == 0
    for arguments, word in (
        (("verify", "--topic", "nosuch"), "nosuch"),
        (("verify", "--topic", "rot", "--partition", "99"), "99"),
        (("dump", "--from", "minus"), "minus"),
        (("dump", "extra"), "extra"),
        (("dump", "--nosuch"), "nosuch"),
    ):
        code, out, err = log_command(filled.data, *arguments)
        assert (code, out) == (CANNOT, ""), arguments
        assert err.count("\n") == 1 and word in err
    code, out, err = log_command(tmp_path / "none", "verify")
    assert code == CANNOT and "no data folder" in err and not (tmp_path / "none").exists()


def test_log_dump__records_of_a_range_for_people_and_as_json(filled):
    filled.kcat("-P", "-t", "rot", "-p", "0", "-H", "trace=ab", "-K", ":", stdin="k\x1b:v\xff\n")
    assert filled.stop() == 0
    code, out, _ = log_command(filled.data, "dump", "--topic", "rot", "--from", "28", "--json")
    records = [line for line in json_lines(out) if line["kind"] == "record"]
    assert code == SOUND and [r["offset"] for r in records] == [28, 29, 30]
    assert records[0]["key"] == "key-28" and records[0]["value"].startswith("record-28-")
    assert records[2]["headers"] == [{"key": "trace", "value": "ab"}]
    code, out, _ = log_command(filled.data, "dump", "--topic", "rot", "--from", "30", "--to", "30")
    assert code == SOUND and 'key "k\\x1b" value "v' in out and 'header "trace"="ab"' in out
    assert "\x1b" not in out


def test_log_dump__journal_and_checkpoints(filled):
    filled.kill()
    code, out, _ = log_command(filled.data, "dump", "--journal", "--topic", "rot", "--json")
    entries = [line for line in json_lines(out) if line["kind"] == "entry"]
    assert code == SOUND and {e["base_offset"] for e in entries} == set(range(30))
    code, out, _ = log_command(filled.data, "dump", "--checkpoints", "--topic", "rot")
    assert code == SOUND and "checkpoint.0: valid" in out and "rot-0 (folder " in out and "offsets 0 to 30" in out


def test_log_commands__help_names_their_options():
    out = subprocess.run([binary(), "log", "dump", "--help"], capture_output=True, text=True, timeout=20).stdout
    assert "--from OFFSET" in out and "--journal" in out
    out = subprocess.run([binary(), "--help"], capture_output=True, text=True, timeout=20).stdout
    assert "log verify" in out and "log dump" in out
