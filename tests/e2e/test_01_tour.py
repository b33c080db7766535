"""The README's tour: REST, log, kcat, mailbox. It stays a test from the first day on."""

from support.server import wait_for

JOHN = {
    "username": "john_doe",
    "email": "john@example.com",
    "password": "SecurePass123",
    "role": "user",
    "age": 25,
    "full_name": "John Doe",
}


def test_tour__from_registration_to_mailbox(eventbox):
    created = eventbox.user_service("POST", "/users/", JOHN)
    assert created.status == 201, created
    user = created.json
    assert user["id"] == 1
    assert list(user)[:6] == ["id", "username", "email", "role", "age", "full_name"]
    assert {k: user[k] for k in ("username", "email", "role", "age", "full_name")} == {
        k: v for k, v in JOHN.items() if k != "password"
    }
    assert "password" not in created.raw.decode()

    wait_for(lambda: eventbox.consume("notification") == "user_created: User created with ID: 1\n", what="the record")
    assert eventbox.consume("notifications") == "user_created: User created with ID: 1\n"
    assert eventbox.consume("user_created").startswith('1: {"id":1,"username":"john_doe"')

    def mails():
        return [n for n in eventbox.notifications() if n["deliveries"][0]["state"] == "sent"]

    (mail,) = wait_for(mails, what="the welcome mail")
    assert mail["deliveries"][0]["address"] == "john@example.com"


def test_tour__list_get_update_login_delete(eventbox):
    assert eventbox.user_service("POST", "/users/", JOHN).status == 201
    assert [u["id"] for u in eventbox.user_service("GET", "/users/").json] == [1]
    assert eventbox.user_service("GET", "/users/1").json["email"] == "john@example.com"
    updated = eventbox.user_service(
        "PUT", "/users/1", {"username": "john_updated", "email": "john.updated@example.com"}
    )
    assert updated.status == 200 and updated.json["username"] == "john_updated"
    login = eventbox.user_service("POST", "/users/login", {"username": "john_updated", "password": "SecurePass123"})
    assert login.status == 200 and login.json["token"]
    wrong = eventbox.user_service("POST", "/users/login", {"username": "john_updated", "password": "WrongPass123"})
    assert wrong.status == 401 and wrong.json == {"detail": "Invalid credentials"}
    deleted = eventbox.user_service("DELETE", "/users/1")
    assert deleted.status == 204 and deleted.raw == b""
    missing = eventbox.user_service("GET", "/users/1")
    assert missing.status == 404 and missing.json == {"detail": "User not found"}
