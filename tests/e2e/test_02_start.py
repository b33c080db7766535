"""Starting: what is printed, what is refused in one line, where settings come from."""

import os
import re
import socket
import subprocess

import pytest
from support.server import binary, free_ports, request, wait_for


def run(*arguments, env=None, timeout=20):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EVENTBOX_")}
    clean.setdefault("ASAN_OPTIONS", "detect_leaks=0")
    clean.update(env or {})
    return subprocess.run([binary(), *arguments], env=clean, capture_output=True, text=True, timeout=timeout)


def refused(server, timeout=20):
    """Start it, expect exit code 2 and exactly one line that says why, the last; return the line."""
    server.spawn()
    assert server.process.wait(timeout) == 2, server.log()
    lines = [line for line in server.log().splitlines() if line.strip() and not line.startswith("{")]
    assert len(lines) == 1 and server.log().splitlines()[-1] == lines[0], server.log()
    return lines[0]


def test_version_and_help():
    assert run("--version").stdout.startswith("eventbox 0.")
    assert "--users.port" in run("--help").stdout + run("conf", "print").stdout
    assert run("--help").returncode == 0


def test_binary__needs_no_library_but_those_of_the_readme():
    """What Debian has as an archive is linked statically; the C library with its parts needs no word."""
    dynamic = subprocess.run(["readelf", "-d", binary()], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(\w+)", dynamic))
    allowed = {"libcrypto", "libcjson", "libc", "libm", "libgcc_s", "ld"}
    assert "libc" in needed and needed - allowed - {"libasan", "libubsan", "libtsan"} == set()


def test_conf_print__is_what_conf_holds():
    root = os.path.join(os.path.dirname(__file__), "../../conf/eventbox.conf")
    assert run("conf", "print").stdout == open(root).read()


@pytest.mark.parametrize("name", ["Dockerfile", "conf/compose.dev.yml", "README.md"])
def test_environment__every_variable_that_is_set_somewhere_exists(name):
    root = os.path.join(os.path.dirname(__file__), "../..")
    known = re.findall(r"\b[A-Z][A-Z0-9_]+\b", run("conf", "print").stdout)
    named = re.findall(r"\bEVENTBOX_[A-Z0-9_]+\b", open(os.path.join(root, name)).read())
    assert named and set(named) - {"EVENTBOX_NAME_ROW"} <= set(known)


def test_conf_check__names_lines(tmp_path):
    path = tmp_path / "x.conf"
    path.write_text("[users]\nport = 99999\nprot = 1\n[nonsense]\na = 1\n[eventbox]\ninsecure = maybe\n")
    checked = run("conf", "check", str(path))
    assert checked.returncode == 2
    text = checked.stdout + checked.stderr
    for line in (2, 3, 7):
        assert f":{line}:" in text, text
    assert "port" in text and "prot" in text and "insecure" in text
    path.write_text("[users]\nport = 8080\n")
    assert run("conf", "check", str(path)).returncode == 0


@pytest.mark.parametrize(
    "which,setting",
    [
        ("users", "users.port"),
        ("notify", "notify.port"),
        ("external", "broker.external_port"),
        ("internal", "broker.internal_port"),
    ],
)
def test_busy_port__one_line_and_exit_2(make_eventbox, which, setting):
    server = make_eventbox()
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", getattr(server, which)))
        taken.listen()
        line = refused(server)
    assert str(getattr(server, which)) in line and setting in line


def test_unwritable_folder__one_line_and_exit_2(make_eventbox, tmp_path):
    (tmp_path / "file").write_text("")
    server = make_eventbox()
    server.data = tmp_path / "file" / "below"
    server.log_path = tmp_path / "log"
    line = _refused_without_parent(server)
    assert str(server.data) in line


def _refused_without_parent(server):
    with open(server.log_path, "wb") as log:
        process = subprocess.Popen(
            server.command(), env=server.environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    assert process.wait(20) == 2
    lines = [line for line in server.log().splitlines() if line.strip() and not line.startswith("{")]
    assert len(lines) == 1, server.log()
    return lines[0]


def test_folder_in_use__one_line_and_exit_2(make_eventbox):
    first = make_eventbox().start()
    second = make_eventbox("other")
    second.data = first.data
    second.log_path = first.data.parent / "second.log"
    line = refused(second)
    assert str(first.data) in line


def test_unknown_setting__one_line_and_exit_2(make_eventbox, tmp_path):
    done = run("--users.prot=1")
    assert done.returncode == 2 and "users.prot" in done.stderr and len(done.stderr.splitlines()) == 1
    done = run(env={"EVENTBOX_USERS_PROT": "1"})
    assert done.returncode == 2 and "EVENTBOX_USERS_PROT" in done.stderr and len(done.stderr.splitlines()) == 1
    (tmp_path / "c").write_text("[users]\nport = 1\nprot = 1\n")
    done = run("--conf", str(tmp_path / "c"))
    assert done.returncode == 2 and ":3:" in done.stderr and len(done.stderr.splitlines()) == 1


def test_precedence__command_line_environment_file_default(make_eventbox, tmp_path):
    a, b, c = free_ports(3)
    conf = tmp_path / "c"
    conf.write_text(f"[users]\nport = {a}\n")

    def listens(server):
        server.start()
        server.close()

    server = make_eventbox("one", args=["--conf", str(conf)])
    base = server.command
    server.command = lambda: [x for x in base() if not x.startswith("--users.port")]
    server.users = a
    listens(server)
    server.env["EVENTBOX_USERS_PORT"] = str(b)
    server.users = b
    listens(server)
    server.command = lambda: [x for x in base() if not x.startswith("--users.port")] + [f"--users.port={c}"]
    server.users = c
    listens(server)


def test_environment__bare_names_of_the_original(make_eventbox):
    server = make_eventbox(env={"HOST": "127.0.0.1", "DEBUG": "True"})
    base = server.command
    server.command = lambda: [x for x in base() if not x.startswith("--users.port")]
    server.env["PORT"] = str(server.users)
    server.start()
    assert server.user_service("GET", "/").json["status"] == "ok"


def test_env_files__each_for_its_module(make_eventbox, tmp_path):
    server = make_eventbox()
    users, notify = tmp_path / "user.env", tmp_path / "notification.env"
    users.write_text(f"DEBUG=True\nPORT={server.users}\nDATABASE_URL=sqlite:///{tmp_path}/here.db\nHOST=localhost\n")
    notify.write_text(
        f"DEBUG=True\nPORT={server.notify}\nHOST=localhost\nSENDGRID_API_KEY=your_sendgrid_api_key_here\n"
    )
    base = server.command
    server.command = lambda: [x for x in base() if not x.startswith(("--users.port", "--notify.port"))] + [
        "--env",
        f"users={users}",
        "--env",
        f"notify={notify}",
    ]
    server.start()
    assert (tmp_path / "here.db").exists()
    assert any("placeholder" in line for line in server.log().splitlines())


def test_database_url__postgresql_ends_with_a_clear_line(make_eventbox):
    line = refused(make_eventbox(env={"DATABASE_URL": "postgresql://u@localhost/x"}))
    assert "postgresql" in line.lower() and "sqlite:///" in line


def test_database__foreign_file_is_refused_and_untouched(make_eventbox, tmp_path):
    import sqlite3

    path = tmp_path / "theirs.db"
    connection = sqlite3.connect(path)
    connection.execute("create table theirs(x)")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    line = refused(make_eventbox(env={"DATABASE_URL": f"sqlite:///{path}"}))
    assert str(path) in line
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith("theirs")) == ["theirs.db"]


def test_off_loopback__needs_insecure(make_eventbox):
    line = refused(make_eventbox(args=["--users.host=0.0.0.0"]))
    assert "users.host" in line and "insecure" in line
    server = make_eventbox("open", args=["--users.host=0.0.0.0", "--insecure=yes"]).start()
    assert "insecure" in server.log()


@pytest.mark.parametrize(
    "modules,ports",
    [("broker", ["external"]), ("broker,users", ["external", "users"]), ("broker,notify", ["external", "notify"])],
)
def test_modules__any_subset_whose_requirements_hold(make_eventbox, modules, ports):
    server = make_eventbox(modules=modules).start()
    for name in ("external", "users", "notify"):
        with socket.socket() as probe:
            reached = probe.connect_ex(("127.0.0.1", getattr(server, name))) == 0
        assert reached == (name in ports), name


@pytest.mark.parametrize("modules", ["fluent", "broker,fluent", "broker,users,fluent", "broker,notify,fluent"])
def test_modules__any_subset_sends_its_lines_to_fluentd(make_eventbox, forward, modules):
    forward.start()
    server = make_eventbox(modules=modules, args=[f"--fluent.port={forward.port}", "--fluent.flush_ms=50ms"]).spawn()
    wait_for(lambda: forward.records("started"), what="the line of the start")
    if "users" in modules:
        assert server.register("seen").status == 201
    services = {"broker": "broker", "users": "user-service", "notify": "notification-service"}
    expected = {services[m] for m in modules.split(",") if m in services} | {"eventbox"}
    wait_for(lambda: {e["tag"] for e in forward.events} == expected, what=f"lines of {expected}")
    assert server.stop() == 0


def test_modules__missing_requirement_is_one_line(make_eventbox):
    line = refused(make_eventbox(modules="users"))
    assert "users" in line and "broker" in line


def test_banner__fits_one_screen(make_eventbox):
    server = make_eventbox(args=["--banner"]).start()
    text = wait_for(server.log, what="output")
    banner = [line for line in text.splitlines() if not line.startswith("{")]
    assert 5 <= len(banner) <= 24
    shown = "\n".join(banner)
    for part in (
        str(server.users),
        str(server.notify),
        str(server.external),
        str(server.data),
        "curl",
        "kcat",
        "mailbox",
    ):
        assert part in shown, part


def test_banner__names_the_ports_that_the_kernel_chose(make_eventbox):
    names = ("users.port", "notify.port", "broker.external_port", "broker.internal_port")
    server = make_eventbox(args=["--banner", *(f"--{name}=0" for name in names)])
    server.spawn()
    found = wait_for(lambda: re.findall(r"localhost:(\d+)/(users/|notifications)", server.log()), what="the screen")
    assert [path for _, path in found] == ["users/", "notifications"]
    for port, path in found:
        assert wait_for(lambda: request(int(port), "GET", f"/{path}").status == 200, what=path)  # noqa: B023


def test_modules__all_of_them_turned_off_is_told_and_not_run(make_eventbox):
    server = make_eventbox(modules="fluent", args=["--fluent.enabled=no"]).spawn()
    assert server.process.wait(20) == 2
    lines = [line for line in server.log().splitlines() if line.startswith("eventbox: ")]
    assert len(lines) == 1 and "modules = fluent" in lines[0] and "fluent.enabled = no" in lines[0]
