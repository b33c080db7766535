"""Mail through a SendGrid-compatible server: every kind of answer, and what is shown."""

from support.server import wait_for


def with_sendgrid(make_eventbox, sendgrid, *args):
    return make_eventbox(
        env={"SENDGRID_API_KEY": "SG.secret-key", "SENDGRID_FROM": "no-reply@example.com"},
        args=[f"--notify.sendgrid_url={sendgrid.url}", *args],
    ).start()


def delivery_of(server, state, timeout=20):
    def found():
        rows = [d for n in server.notifications() for d in n["deliveries"] if d["state"] == state]
        return rows and rows[0]

    return wait_for(found, timeout, f"a delivery in state {state}")


def test_202__one_mail_for_each_user(make_eventbox, sendgrid):
    server = with_sendgrid(make_eventbox, sendgrid)
    for i in range(3):
        server.register(f"mail{i}")
    wait_for(lambda: len(sendgrid.journal) == 3, what="three mails")
    delivery = delivery_of(server, "sent")
    assert delivery["provider"] == "sendgrid" and delivery["provider_message_id"]
    assert sorted(sendgrid.recipients()) == [f"mail{i}@example.com" for i in range(3)]
    mail = sendgrid.journal[0]
    assert mail["authorization"] == "Bearer SG.secret-key"
    assert mail["body"]["from"]["email"] == "no-reply@example.com"
    assert "SG.secret-key" not in server.log()


def test_engine__is_plain_to_see(make_eventbox, sendgrid):
    with_key = with_sendgrid(make_eventbox, sendgrid)
    assert "sendgrid" in with_key.notification_service("GET", "/providers").raw.decode()
    for value in ("", "your_sendgrid_api_key_here"):
        server = make_eventbox("unset" + value[:4], env={"SENDGRID_API_KEY": value}).start()
        assert "mailbox" in server.notification_service("GET", "/providers").raw.decode()
        server.register("someone")
        assert delivery_of(server, "sent")["provider"] == "mailbox"


def test_key_without_sender__is_refused(make_eventbox):
    server = make_eventbox(env={"SENDGRID_API_KEY": "SG.x"})
    server.spawn()
    assert server.process.wait(20) == 2
    assert "SENDGRID_FROM" in server.log()


def test_400__fails_for_good(make_eventbox, sendgrid):
    sendgrid.script = [400]
    server = with_sendgrid(make_eventbox, sendgrid)
    server.register("bad")
    delivery = delivery_of(server, "failed")
    assert "400" in str(delivery)
    assert len(sendgrid.journal) == 1


def test_401__shows_the_remedy_and_tries_again(make_eventbox, sendgrid):
    sendgrid.default = 401
    server = with_sendgrid(make_eventbox, sendgrid, "--notify.retry_base=50ms", "--notify.retry_cap=200ms")
    server.register("auth")
    wait_for(lambda: any(line["action"] == "provider_config" for line in server.log_lines()), what="the error line")
    line = next(line for line in server.log_lines() if line["action"] == "provider_config")
    assert "SENDGRID_API_KEY" in str(line)
    sendgrid.default = 202
    delivery_of(server, "sent", 30)
    assert len(sendgrid.accepted()) == 1


def test_429__waits_and_sends_once(make_eventbox, sendgrid):
    sendgrid.script = [429]
    sendgrid.headers = {"Retry-After": "1"}
    server = with_sendgrid(make_eventbox, sendgrid)
    server.register("limited")
    delivery_of(server, "sent")
    assert len(sendgrid.accepted()) == 1 and len(sendgrid.journal) == 2


def test_500__is_in_doubt_and_not_repeated(make_eventbox, sendgrid):
    sendgrid.script = [500]
    server = with_sendgrid(make_eventbox, sendgrid)
    server.register("doubt")
    delivery_of(server, "in_doubt")
    server.register("after")
    delivery_of(server, "sent")
    assert sendgrid.recipients() == ["doubt@example.com", "after@example.com"]


def test_closed_after_the_body__is_in_doubt_and_posted_once(make_eventbox, sendgrid):
    server = with_sendgrid(make_eventbox, sendgrid)
    server.register("warm")  # so that the next request travels on a reused connection
    delivery_of(server, "sent")
    for action in ("close", "reset"):
        sendgrid.script = [action]
        before = len(sendgrid.journal)
        server.register(f"lost{action}")
        wait_for(
            lambda: [
                d
                for n in server.notifications()
                for d in n["deliveries"]
                if d["state"] == "in_doubt" and d["address"] == f"lost{action}@example.com"
            ],
            what="the doubt",
        )
        assert len(sendgrid.journal) == before + 1
    assert "in_doubt" in str(server.log_lines()) or "notification_in_doubt" in server.log()


def test_silence__is_in_doubt_after_the_timeout(make_eventbox, sendgrid):
    sendgrid.script = ["silence"]
    server = with_sendgrid(make_eventbox, sendgrid, "--notify.total_timeout=1s")
    server.register("silent")
    delivery_of(server, "in_doubt")
    assert len(sendgrid.journal) == 1


def test_refused__is_tried_again_when_the_server_is_there(make_eventbox, sendgrid):
    port, sendgrid_url = sendgrid.port, sendgrid.url
    sendgrid.close()
    server = make_eventbox(
        env={"SENDGRID_API_KEY": "SG.x", "SENDGRID_FROM": "a@example.com"},
        args=[f"--notify.sendgrid_url={sendgrid_url}", "--notify.retry_base=50ms", "--notify.retry_cap=200ms"],
    ).start()
    server.register("later")
    delivery_of(server, "retrying")
    from support.peers.sendgrid import SendGrid

    again = SendGrid(port)
    try:
        delivery_of(server, "sent")
        assert len(again.journal) == 1
    finally:
        again.close()


def test_kill_during_a_send__shows_the_doubt(make_eventbox, sendgrid):
    sendgrid.script = ["silence"]
    server = with_sendgrid(make_eventbox, sendgrid)
    server.register("killed")
    wait_for(lambda: sendgrid.journal, what="the request")
    server.kill()
    server.start()
    delivery_of(server, "in_doubt")
    assert len(sendgrid.journal) == 1


def test_post_notifications__each_type(eventbox):
    for body in (
        {"type": "email", "to": "a@example.com", "subject": "Hello", "body": "Text"},
        {"type": "sms", "to": "+4915112345678", "body": "Text"},
        {"type": "push", "to": "device-token", "subject": "Hello", "body": "Text"},
    ):
        answer = eventbox.notification_service("POST", "/notifications", body)
        assert answer.status in (201, 202), answer
    wait_for(
        lambda: len([n for n in eventbox.notifications() if n["deliveries"][0]["state"] == "sent"]) == 3,
        what="three sent",
    )


def test_post_notifications__wrong(eventbox):
    for body in (
        {"type": "fax", "to": "x", "body": "y"},
        {"type": "email", "to": "nobody", "subject": "s", "body": "b"},
        {"type": "sms", "to": "not-a-number", "body": "b"},
        {"type": "email"},
        {},
    ):
        assert eventbox.notification_service("POST", "/notifications", body).status == 422, body
    assert eventbox.notifications() == []


def test_foreign_record__is_kept_and_never_mailed(make_eventbox, sendgrid):
    server = with_sendgrid(make_eventbox, sendgrid)
    server.register("real")
    delivery_of(server, "sent")
    server.kcat("-P", "-t", "notification", "-k", "user_created", stdin="User created with ID: 1")
    wait_for(lambda: len(server.notifications()) == 2, what="the visible entry")
    assert len(sendgrid.journal) == 1
    foreign = [n for n in server.notifications() if n["deliveries"] and n["deliveries"][0]["provider"] == "mailbox"]
    assert len(foreign) == 1


def test_poison__is_set_aside_and_neighbours_go_on(make_eventbox):
    server = make_eventbox().start()
    server.kcat("-P", "-t", "users.events", "-k", "1", stdin="no json at all\n")
    server.register("healthy")
    delivery_of(server, "sent")
    assert any(line["action"] == "poison_event" for line in server.log_lines())
