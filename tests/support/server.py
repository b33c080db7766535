"""Starts the real binary on free ports of loopback and talks to it. Used by every Python test."""

import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"


def binary():
    """The binary under test: EVENTBOX_BINARY, else the sanitizer build, else the release build."""
    for candidate in (
        os.environ.get("EVENTBOX_BINARY"),
        ROOT / "build-test/src/main/eventbox",
        ROOT / "build/src/main/eventbox",
    ):
        if candidate and pathlib.Path(candidate).exists():
            return str(candidate)
    raise RuntimeError("no eventbox binary: run scripts/build or scripts/test first")


def free_ports(count):
    """Distinct free ports, all held at once so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def wait_for(condition, timeout=20.0, what="condition"):
    """Wait until condition() is true and return its value; fails loudly after the timeout."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"timed out after {timeout} s waiting for {what}")
        time.sleep(0.02)


def file_size(path):
    """Nothing, of a file that the server has removed since it was listed."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def clean_environment():
    """This one without what the program would take for a setting."""
    bare = ("PORT", "HOST", "DEBUG", "DATABASE_URL", "SENDGRID_API_KEY", "SENDGRID_FROM")
    clean = {k: v for k, v in os.environ.items() if not k.startswith("EVENTBOX_") and k not in bare}
    clean.setdefault("ASAN_OPTIONS", "detect_leaks=0")
    clean.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    return clean


class Answer:
    def __init__(self, response):
        self.status = response.status
        self.headers = {k.lower(): v for k, v in response.getheaders()}
        self.raw = response.read()

    @property
    def json(self):
        return json.loads(self.raw)

    def __repr__(self):
        return f"<{self.status} {self.raw[:300]!r}>"


def request(port, method, path, body=None, headers=None, timeout=20):
    """One HTTP request on a fresh connection. A dict body is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        connection.request(method, path, body, headers)
        return Answer(connection.getresponse())
    finally:
        connection.close()


class Eventbox:
    """One server process with a data folder of its own. Ports stay the same over restarts."""

    def __init__(self, data, env=None, args=(), modules=None, log_path=None, own_session=False):
        self.data = pathlib.Path(data)
        self.own_session = own_session  # as a service has it; then Ctrl-C does not reach it
        self.env = dict(env or {})
        self.args = list(args)
        self.modules = modules
        self.users, self.notify, self.external, self.internal = free_ports(4)
        self.process = None
        self.log_path = log_path or self.data.parent / (self.data.name + ".log")

    @property
    def bootstrap(self):
        return f"127.0.0.1:{self.external}"

    def command(self):
        settings = {
            "data": self.data,
            "users.port": self.users,
            "notify.port": self.notify,
            "broker.external_port": self.external,
            "broker.internal_port": self.internal,
        }
        if self.modules:
            settings["modules"] = self.modules
        known = {a.split("=")[0].lstrip("-") for a in self.args}
        if "fluent.enabled" not in known and "fluent.port" not in known:
            settings["fluent.enabled"] = "no"
        return [binary()] + [f"--{k}={v}" for k, v in settings.items() if k not in known] + self.args

    def environment(self):
        return clean_environment() | self.env

    def spawn(self):
        """Start without waiting."""
        self.data.parent.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env=self.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=self.own_session,
            )
        return self

    def start(self, timeout=30):
        self.spawn()
        wait_for(lambda: self.is_ready() or self._died(), timeout, "readiness\n" + self.log()[-3000:])
        return self

    def _died(self):
        if self.process.poll() is not None:
            raise AssertionError(f"eventbox ended with {self.process.returncode}:\n{self.log()[-4000:]}")

    def is_ready(self):
        ports = []
        if not self.modules or "users" in self.modules:
            ports.append(self.users)
        if not self.modules or "notify" in self.modules:
            ports.append(self.notify)
        try:
            for port in () if ports else (self.external, self.internal):  # opened one after the other
                socket.create_connection(("127.0.0.1", port), 1).close()
            return all(request(p, "GET", "/readyz", timeout=5).status == 200 for p in ports)
        except OSError:
            return False

    def freeze(self):
        """SIGSTOP, and wait until every thread stands: what it was told since, it can tell nobody."""
        self.process.send_signal(signal.SIGSTOP)
        tasks = pathlib.Path(f"/proc/{self.process.pid}/task")
        states = lambda: {(t / "stat").read_text().rpartition(")")[2].split()[0] for t in tasks.iterdir()}  # noqa: E731
        wait_for(lambda: states() == {"T"}, what="the process to stand still")

    def kill(self):
        """SIGKILL: a crash."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout=30):
        """SIGTERM and the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def close(self):
        """End of a test: a sanitizer's report or a crash in between is a failure."""
        if self.process and self.process.poll() is None:
            code = self.stop()
            assert code == 0, f"exit code {code}:\n{self.log()[-4000:]}"
        text = self.log()
        assert "Sanitizer: " not in text and "runtime error:" not in text, text[-6000:]

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_lines(self):
        """The console's JSON lines."""
        lines = []
        for line in self.log().splitlines():
            if line.startswith("{"):
                lines.append(json.loads(line))
        return lines

    # Short forms of what most tests do.
    def user_service(self, method, path, body=None, **kw):
        return request(self.users, method, path, body, **kw)

    def notification_service(self, method, path, body=None, **kw):
        return request(self.notify, method, path, body, **kw)

    def register(self, name, **fields):
        body = {"username": name, "email": f"{name}@example.com", "password": "SecurePass123", "role": "user"}
        body.update(fields)
        return self.user_service("POST", "/users/", body)

    def notifications(self, query=""):
        answer = self.notification_service("GET", "/notifications" + query)
        assert answer.status == 200, answer
        return answer.json

    def kcat(self, *arguments, stdin=None, timeout=30, port=None):
        """Debian's kcat (librdkafka 2.0.2) against the external listener; its standard output."""
        command = ["kcat", "-b", f"127.0.0.1:{port or self.external}", *arguments]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def consume(self, topic, form="%k: %s\n"):
        """Every record of a topic, from the start to the end."""
        return self.kcat("-C", "-t", topic, "-e", "-q", "-o", "beginning", "-f", form)


def copy_of(folder, target):
    """A copy of a stopped data folder."""
    shutil.copytree(folder, target)
    return target
