"""The user service's answers: validation in FastAPI's words, roles, conflicts, limits."""

import concurrent.futures
import json

import pytest
from support.server import request

GOOD = {"username": "jane", "email": "jane@example.com", "password": "SecurePass123"}


def test_create__defaults(eventbox):
    user = eventbox.user_service("POST", "/users/", GOOD).json
    assert user["role"] == "user" and user["age"] is None and user["full_name"] is None


@pytest.mark.parametrize(
    "change,loc,kind,message",
    [
        ({"username": None}, ["body", "username"], "string_type", "Input should be a valid string"),
        ({"username": "ab"}, ["body", "username"], "string_too_short", "String should have at least 3 characters"),
        ({"username": "x" * 51}, ["body", "username"], "string_too_long", "String should have at most 50 characters"),
        (
            {"age": "old"},
            ["body", "age"],
            "int_parsing",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        ({"age": -1}, ["body", "age"], "greater_than_equal", "Input should be greater than or equal to 0"),
        ({"age": 151}, ["body", "age"], "less_than_equal", "Input should be less than or equal to 150"),
        (
            {"age": 2.5},
            ["body", "age"],
            "int_from_float",
            "Input should be a valid integer, got a number with a fractional part",
        ),
        ({"role": "king"}, ["body", "role"], "enum", "Input should be 'admin', 'user' or 'guest'"),
    ],
)
def test_create__wrong_field(eventbox, change, loc, kind, message):
    answer = eventbox.user_service("POST", "/users/", dict(GOOD, **change))
    assert answer.status == 422, answer
    (item,) = answer.json["detail"]
    assert (item["loc"], item["type"], item["msg"]) == (loc, kind, message)


def test_create__wrong_email_and_missing_password(eventbox):
    answer = eventbox.user_service("POST", "/users/", {"username": "jane", "email": "nobody"})
    assert answer.status == 422
    items = {item["loc"][-1]: item for item in answer.json["detail"]}
    assert items["email"]["type"] == "value_error"
    assert items["email"]["msg"].startswith("value is not a valid email address: ")
    assert (items["password"]["type"], items["password"]["msg"]) == ("missing", "Field required")


def test_create__password_is_never_echoed(eventbox):
    secret = "ab1SECRET"[:7]
    answer = eventbox.user_service("POST", "/users/", dict(GOOD, password=secret))
    assert answer.status == 422
    assert secret not in answer.raw.decode() and secret not in eventbox.log()
    broken = eventbox.user_service("POST", "/users/", {"password": "SecurePass123"})
    assert "SecurePass123" not in broken.raw.decode()


@pytest.mark.parametrize(
    "body,kind",
    [
        ("{", "json_invalid"),
        ("", "missing"),
        ("[]", "model_attributes_type"),
        ('"x"', "model_attributes_type"),
        ('{"username": "a\\u0000b"}', None),
        ("{\"a\":" * 40 + "1" + "}" * 40, None),
        ('{"age":1,"age":2}', None),
    ],
)
def test_create__no_json_object(eventbox, body, kind):
    answer = eventbox.user_service("POST", "/users/", body, headers={"content-type": "application/json"})
    assert answer.status in (413, 422), answer
    if kind:
        assert answer.json["detail"][0]["type"] == kind


def test_create__conflict_ignores_case(eventbox):
    assert eventbox.user_service("POST", "/users/", GOOD).status == 201
    for other in ({"username": "JANE", "email": "x@example.com"}, {"username": "other", "email": "Jane@Example.COM"}):
        answer = eventbox.user_service("POST", "/users/", dict(GOOD, **other))
        assert answer.status == 409
        assert answer.json == {"detail": "Username or email already registered"}
    assert len(eventbox.user_service("GET", "/users/").json) == 1


def test_create__two_at_once_make_one(eventbox):
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = sorted(
            a.status for a in pool.map(lambda _: eventbox.user_service("POST", "/users/", GOOD), range(8))
        )
    assert statuses == [201] + [409] * 7
    assert len(eventbox.consume("notification").splitlines()) == 1


def test_get__wrong_ids(eventbox):
    for path, status in (
        ("/users/99", 404),
        ("/users/0", 404),
        ("/users/abc", 422),
        ("/users/1e3", 422),
        ("/users/99999999999999999999999", 422),
    ):
        answer = eventbox.user_service("GET", path)
        assert answer.status in (status, 422), (path, answer)
        assert "detail" in answer.json


def test_routes__unknown_wrong_method_head_options(eventbox):
    assert eventbox.user_service("GET", "/nothing").json == {"detail": "Not Found"}
    wrong = eventbox.user_service("PATCH", "/users/1")
    assert wrong.status == 405 and wrong.json == {"detail": "Method Not Allowed"}
    assert {"GET", "PUT", "DELETE"} <= {m.strip() for m in wrong.headers["allow"].split(",")}
    assert eventbox.user_service("HEAD", "/users/").status == 200
    assert eventbox.user_service("GET", "/users").status == 200


def test_admin__only_the_first_is_free(eventbox):
    assert eventbox.user_service("POST", "/users/", dict(GOOD, role="admin")).status == 201
    second = eventbox.user_service(
        "POST",
        "/users/",
        {"username": "eve", "email": "eve@example.com", "password": "SecurePass123", "role": "admin"},
    )
    assert second.status == 403, second


def test_login__one_text_for_all_causes(eventbox):
    eventbox.user_service("POST", "/users/", GOOD)
    for body in (
        {"username": "jane", "password": "WrongPass999"},
        {"username": "nobody", "password": "SecurePass123"},
    ):
        answer = eventbox.user_service("POST", "/users/login", body)
        assert answer.status == 401 and answer.json == {"detail": "Invalid credentials"}
    first = eventbox.user_service("POST", "/users/login", {"username": "JANE", "password": "SecurePass123"}).json
    second = eventbox.user_service("POST", "/users/login", {"username": "jane", "password": "SecurePass123"}).json
    assert first["token"] != second["token"] and first["token_type"] == "bearer"


def test_problem_json__on_request(eventbox):
    answer = eventbox.user_service("GET", "/users/7", headers={"accept": "application/problem+json"})
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == 404 and answer.json["title"]


def test_list__skip_and_limit(eventbox):
    for i in range(5):
        assert eventbox.register(f"user{i}").status == 201
    assert [u["id"] for u in eventbox.user_service("GET", "/users/?skip=1&limit=2").json] == [2, 3]
    assert eventbox.user_service("GET", "/users/?limit=x").status == 422


def test_openapi_and_docs__work_without_internet(eventbox):
    document = eventbox.user_service("GET", "/openapi.json").json
    assert document["openapi"].startswith("3.1")
    assert {"get", "post"} <= set(document["paths"]["/users/"])
    page = eventbox.user_service("GET", "/docs")
    assert page.status == 200 and b"//" not in page.raw.replace(b"http://www.w3.org", b"")
    for service in (eventbox.users, eventbox.notify):
        for path in ("/healthz", "/readyz", "/metrics", "/"):
            assert request(service, "GET", path).status == 200, path


def test_openapi__each_example_of_a_body_is_accepted(eventbox):
    answers = {}
    for port in (eventbox.users, eventbox.notify):
        for path, methods in request(port, "GET", "/openapi.json").json["paths"].items():
            for method, operation in methods.items():
                for media in operation.get("requestBody", {}).get("content", {}).values():
                    body = media["example"]
                    answer = request(port, method.upper(), path.format(user_id=1), body)
                    answers[f"{method} {path}"] = answer.status
    assert answers == {
        "post /users/": 201, "post /users/login": 200, "put /users/{user_id}": 200, "post /notifications": 202,
    }


def test_metrics__are_prometheus_text(eventbox):
    eventbox.register("metric")
    text = eventbox.user_service("GET", "/metrics").raw.decode()
    assert "# TYPE eventbox_log_frames_total counter" in text
    names = [line.split("{")[0].split(" ")[0] for line in text.splitlines() if line and not line.startswith("#")]
    assert len(names) > 20
    for line in text.splitlines():
        if line and not line.startswith("#"):
            float(line.rsplit(" ", 1)[1])


def test_restart__keeps_users_and_ids(eventbox):
    eventbox.register("first")
    assert eventbox.user_service("DELETE", "/users/1").status == 204
    assert eventbox.stop() == 0
    eventbox.start()
    assert eventbox.register("second").json["id"] == 2, "an id is never given out twice"


def test_trace__comes_in_and_goes_along(eventbox):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = eventbox.user_service(
        "POST", "/users/", GOOD, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    )
    assert answer.status == 201
    headers = eventbox.kcat("-C", "-t", "users.events", "-e", "-q", "-o", "beginning", "-f", "%h\n")
    assert trace in headers
    assert any(line.get("trace_id") == trace and line["action"] == "user_created" for line in eventbox.log_lines())
    assert json.loads(answer.raw)["id"] == 1
