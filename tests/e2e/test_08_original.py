"""The original's own services with eventbox as their Kafka: nothing changes but the address.

They are the ones below shared/seed/replica beside the checkout (or beside a folder above it).
"""

import os
import subprocess
import sys

import pytest

from support.server import ROOT, free_ports, request, wait_for

REPLICA = next((p / "shared/seed/replica" for p in ROOT.parents if (p / "shared/seed/replica").is_dir()), None)
ANNA = {"username": "anna_original", "email": "anna@example.com", "password": "SecurePass123", "role": "user"}


class Original:
    """One process of the original, in an empty folder, with nothing but its own settings."""

    def __init__(self, folder, name, arguments, **settings):
        folder.mkdir(exist_ok=True)
        self.name, self.log_path = name, folder / f"{name}.log"
        env = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "TMPDIR")}
        env.update(settings, PYTHONDONTWRITEBYTECODE="1")
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def lives(self):
        assert self.process.poll() is None, f"{self.name} ended:\n{self.log_path.read_text()[-3000:]}"
        return True

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


@pytest.fixture
def original(tmp_path):
    started = []

    def start(*arguments, **settings):
        started.append(Original(tmp_path / "original", *arguments, **settings))
        return started[-1]

    yield start
    for process in started:
        process.close()


def user_service(original, kafka, fluent):
    """The original's REST on a free port; answers requests from then on."""
    (port,) = free_ports(1)
    arguments = ["-m", "uvicorn", "user_service:app", "--app-dir", str(REPLICA), "--port", str(port)]
    process = original("user_service", arguments, KAFKA=kafka, FLUENT=fluent)

    def answers():
        process.lives()
        try:
            return request(port, "GET", "/").status == 200
        except OSError:
            return False

    wait_for(answers, 60, "the original's user service")
    return port


def notification_service(original, kafka, sendgrid):
    script = str(REPLICA / "notification_service.py")
    return original("notification_service", [script], KAFKA=kafka, SENDGRID_URL=sendgrid.url)


def subjects(sendgrid):
    return [(m["body"]["subject"], m["body"]["content"][0]["value"]) for m in sendgrid.accepted()]


@pytest.mark.skipif(not REPLICA, reason="no shared/seed/replica beside the checkout")
def test_original__both_services_with_eventbox_as_their_kafka(make_eventbox, original, sendgrid, forward):
    forward.start()
    server = make_eventbox().start()
    port = user_service(original, server.bootstrap, f"127.0.0.1:{forward.port}")
    reader = notification_service(original, server.bootstrap, sendgrid)

    created = request(port, "POST", "/users/", ANNA)
    assert created.status == 201 and created.json["id"] == 1, created
    wait_for(lambda: server.consume("notification") == "user_created: User created with ID: 1\n", 30, "the record")
    wait_for(lambda: reader.lives() and subjects(sendgrid), 60, "the original's mail")
    assert subjects(sendgrid) == [("user_created", "User created with ID: 1")]
    (record,) = wait_for(lambda: forward.records("user_created"), what="the original's log line")
    assert (record["service"], record["user_id"]) == ("user-service", 1)

    def kept():
        return server.notifications()

    (entry,) = wait_for(kept, what="the entry of the foreign record")
    # Their user 1 is not ours: kept, and mailed to nobody.
    assert entry["kind"] == "foreign" and entry["deliveries"][0]["address"] is None


@pytest.mark.skipif(not REPLICA, reason="no shared/seed/replica beside the checkout")
def test_original__its_notification_service_serves_users_of_eventbox(make_eventbox, original, sendgrid):
    server = make_eventbox().start()
    assert server.register("boxed").status == 201
    reader = notification_service(original, server.bootstrap, sendgrid)
    wait_for(lambda: reader.lives() and subjects(sendgrid), 60, "the original's mail")
    assert subjects(sendgrid) == [("user_created", "User created with ID: 1")]


@pytest.mark.skipif(not REPLICA, reason="no shared/seed/replica beside the checkout")
def test_original__its_events_survive_a_restart_of_eventbox(make_eventbox, original, sendgrid, forward):
    forward.start()
    server = make_eventbox().start()
    port = user_service(original, server.bootstrap, f"127.0.0.1:{forward.port}")
    assert request(port, "POST", "/users/", ANNA).status == 201
    wait_for(lambda: server.consume("notification"), 30, "the record")
    server.kill()
    assert (
        request(port, "POST", "/users/", {**ANNA, "username": "second", "email": "second@example.com"}).status == 201
    )
    server.start()
    reader = notification_service(original, server.bootstrap, sendgrid)
    wait_for(lambda: reader.lives() and len(subjects(sendgrid)) >= 2, 90, "both mails")
    assert [value for _, value in subjects(sendgrid)] == ["User created with ID: 1", "User created with ID: 2"]
