"""The description of the API: that it is served, complete, and true."""

import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
import yaml
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.protocols import Validator
from marshmallow import Schema
from support.application import API_AUTHORIZATION, AUTHORIZATION
from support.deliveries import add_for, claim, delivered, failed
from support.endpoints import endpoint
from support.reading import send
from werkzeug.test import TestResponse

from app.deliveries.delivery_id import delivery_id
from app.errors import ERRORS, RequestTimeout
from app.settings import Endpoint
from app.storage.delivery import DeliveryQuery
from app.storage.interface import MessageStore
from app.web.delivery_parameters import DeliveryListParameters
from app.web.message_parameters import MOST_LISTED, ListParameters

DOCUMENT: dict[str, Any] = yaml.safe_load((files("app.web") / "openapi.yaml").read_text())
RAW = b"From: ann@example.org\r\nTo: bob@example.com\r\nSubject: Hi\r\n\r\nBody"
INBOUND = "/mail/inbound"
JSON_TYPES = {"application/json", "application/problem+json"}
MESSAGE = AUTHORIZATION | {"Content-Type": "message/rfc822"}
JSON = AUTHORIZATION | {"Content-Type": "application/json"}

REQUESTS: dict[str, tuple[str, str, bytes, dict[str, str], int]] = {
    "stored": ("POST", INBOUND, RAW, MESSAGE, 200),
    "older path": ("POST", "/email", RAW, MESSAGE, 200),
    "parts": ("POST", INBOUND, b'{"from":"a@example.org","to":"b@example.com"}', JSON, 200),
    "no JSON": ("POST", INBOUND, b"{", JSON, 400),
    "faults": ("POST", INBOUND, b'{"subject":1}', JSON, 400),
    "no token": ("POST", INBOUND, RAW, {}, 401),
    "blocked": ("POST", INBOUND, RAW.replace(b"example.org", b"spam.example"), MESSAGE, 403),
    "too large": ("POST", INBOUND, RAW + b"x" * 2_000_000, MESSAGE, 413),
    "type": ("POST", INBOUND, RAW, AUTHORIZATION | {"Content-Type": "text/html"}, 415),
    "no message": ("POST", INBOUND, b"x", MESSAGE, 422),
    "elsewhere": ("POST", INBOUND, RAW.replace(b"example.com", b"other.test"), MESSAGE, 422),
    "options": ("OPTIONS", INBOUND, b"", AUTHORIZATION, 200),
    "options, token": ("OPTIONS", INBOUND, b"", {}, 401),
    "health": ("GET", "/health", b"", {}, 200),
    "health head": ("HEAD", "/health", b"", {}, 200),
    "ready": ("GET", "/ready", b"", {}, 200),
    "totals": ("GET", "/metrics", b"", {}, 200),
    "description": ("GET", "/openapi.json", b"", {}, 200),
    "ready options": ("OPTIONS", "/ready", b"", {}, 200),
}


def resolve(described: dict[str, Any]) -> dict[str, Any]:
    """Return what a description is, or refers to."""
    reference = described.get("$ref")
    if reference is None:
        return described
    _, _, kind, name = reference.split("/")
    found: dict[str, Any] = DOCUMENT["components"][kind][name]
    return found


def validator(schema: dict[str, Any]) -> Validator:
    """Return a validator of `schema`, which may refer to the components."""
    whole = {**schema, "components": DOCUMENT["components"]}
    return Draft202012Validator(whole, format_checker=FormatChecker())


def check_described(answer: TestResponse, method: str, path: str) -> None:
    """Check status, headers, type and body of an answer against the description."""
    operation = DOCUMENT["paths"][path][method.lower()]
    check_answer(answer, resolve(operation["responses"][str(answer.status_code)]), method)


def check_answer(answer: TestResponse, described: dict[str, Any], method: str) -> None:
    for name, header in described["headers"].items():
        value = answer.headers.get(name)
        assert value is not None or not resolve(header)["required"], name
        if value is not None:
            is_number = resolve(header)["schema"]["type"] == "integer"
            validator(resolve(header)["schema"]).validate(int(value) if is_number else value)
    if "content" not in described:
        assert answer.data == b""
    else:
        schema = described["content"][answer.content_type]["schema"]
        if method != "HEAD" and answer.content_type in JSON_TYPES:
            validator(schema).validate(json.loads(answer.data))


def described_codes() -> Iterator[str]:
    """Yield each code that an answer is described with."""
    for answer in DOCUMENT["components"]["responses"].values():
        schema = answer["content"]["application/problem+json"]["schema"]
        assert schema["properties"]["status"]["const"] in {kind.status for kind in ERRORS.values()}
        for code in schema["properties"]["code"]["enum"]:
            assert schema["properties"]["status"]["const"] == ERRORS[code].status
            yield code


def test_the_description_is_served(client: FlaskClient) -> None:
    """GET /openapi.json is app/web/openapi.yaml, and needs no token."""
    answer = client.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.get_json() == DOCUMENT
    assert DOCUMENT["openapi"] == "3.1.0"


def test_every_route_is_described_and_every_description_a_route(app: Flask) -> None:
    """Path by path and method by method; the pages of the inbox aren't part of the API."""
    routes = {
        (rule.rule.replace("<", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules()
        for method in rule.methods or ()
        if not rule.endpoint.startswith("inbox.")
    }
    described = {
        (path, method.upper())
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }
    assert described == routes


def test_every_code_is_described_with_its_status() -> None:
    """No problem is answered that the description doesn't have, and the other way round."""
    assert set(described_codes()) == set(ERRORS)


def test_every_schema_of_the_description_is_one() -> None:
    """A validator takes each of them."""
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


READING: list[tuple[str, str, dict[str, str], int]] = [
    ("GET", "/messages", {}, 200),
    ("HEAD", "/messages", {}, 200),
    ("GET", "/messages/{id}", {}, 200),
    ("GET", "/messages/{id}", {"If-None-Match": "*"}, 304),
    ("HEAD", "/messages/{id}", {}, 200),
    ("GET", "/messages/{id}/raw", {}, 200),
    ("GET", "/messages/{id}/raw", {"Range": "bytes=0-1"}, 206),
    ("GET", "/messages/{id}/raw", {"Range": "bytes=99999-"}, 416),
    ("HEAD", "/messages/{id}/raw", {}, 200),
    ("GET", "/messages/{id}/parts/{part}", {}, 200),
    ("GET", "/messages/{id}/parts/{part}", {"If-None-Match": "*"}, 304),
    ("HEAD", "/messages/{id}/parts/{part}", {}, 200),
    ("OPTIONS", "/messages/{id}", {}, 200),
    ("POST", "/messages/delete", {"Content-Type": "application/json"}, 200),
    ("POST", "/messages/delete", {"Content-Type": "text/plain"}, 415),
    ("DELETE", "/messages/{id}", {}, 204),
]


@pytest.mark.parametrize(("method", "path", "headers", "status"), READING)
def test_answers_about_messages_are_as_described(
    client: FlaskClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    """Successes, and refusals for the token, a parameter or an unknown id."""
    body = json.dumps({"ids": ["019ca945-0a01-7b76-84b5-b2a9a8215155"]}) if method == "POST" else ""
    filled = path.format(id=send(client), part="2")

    def ask(query: str, more: dict[str, str]) -> TestResponse:
        return client.open(filled + query, method=method, data=body, headers=headers | more)

    asked = [ask("", API_AUTHORIZATION), ask("", AUTHORIZATION), ask("", {})]
    assert [answer.status_code for answer in asked] == [status, 403, 401]
    if method != "OPTIONS":
        asked.append(ask("?x=1", API_AUTHORIZATION))
        assert asked[-1].status_code == 400
    if "{id}" in path and method != "OPTIONS":
        filled = path.format(id="x", part="2")
        asked.append(ask("", API_AUTHORIZATION))
        assert asked[-1].status_code == 404
    for answer in asked:
        check_described(answer, method, path)


DELIVERIES: list[tuple[str, str, object, int]] = [
    ("GET", "/deliveries", None, 200),
    ("HEAD", "/deliveries", None, 200),
    ("GET", "/deliveries/{id}", None, 200),
    ("HEAD", "/deliveries/{id}", None, 200),
    ("POST", "/deliveries/{id}/retry", None, 200),
    ("POST", "/deliveries/{id}/discard", None, 200),
    ("POST", "/replays", {"endpoint": "app", "since": "2026-01-31", "dry_run": True}, 200),
    ("POST", "/replays", {"endpoint": "app", "since": "2026-01-31", "rate": 0.5}, 202),
    ("POST", "/replays", "text", 415),
    ("GET", "/endpoints", None, 200),
    ("HEAD", "/endpoints", None, 200),
    ("POST", "/endpoints/{name}/pause", None, 200),
    ("POST", "/endpoints/{name}/resume", None, 200),
    ("POST", "/endpoints/{name}/test", None, 200),
    ("OPTIONS", "/endpoints/{name}/test", None, 200),
]


@pytest.fixture
def endpoints() -> tuple[Endpoint, ...]:
    """Return an endpoint, which refuses connections."""
    return (endpoint("app", url="http://169.254.169.254/"),)


@pytest.mark.parametrize(("method", "path", "body", "status"), DELIVERIES)
def test_answers_about_deliveries_are_as_described(
    *,
    client: FlaskClient,
    store: MessageStore,
    method: str,
    path: str,
    body: object,
    status: int,
) -> None:
    """Of a delivery that has failed once; and so are refusals for the token, or a parameter."""
    add_for(store, "app")
    store.deliveries.finish([failed(claim(store.deliveries)[0], due=30)])
    [delivery] = store.deliveries.find(DeliveryQuery()).deliveries
    names = {"id": delivery_id(delivery.number), "name": "app"}
    sent = json.dumps(body) if body else ""
    kind = {"Content-Type": "text/plain" if body == "text" else "application/json"} if body else {}

    def ask(filled: str, headers: dict[str, str]) -> TestResponse:
        return client.open(filled, method=method, data=sent, headers=kind | headers)

    filled = path.format(**names)
    asked = [ask(filled, API_AUTHORIZATION), ask(filled, AUTHORIZATION), ask(filled, {})]
    assert [answer.status_code for answer in asked] == [status, 403, 401]
    if method != "OPTIONS":
        asked.append(ask(f"{filled}?x=1", API_AUTHORIZATION))
        assert asked[-1].status_code == 400
    if "{" in path and method != "OPTIONS":
        asked.append(ask(path.format(id="x", name="x"), API_AUTHORIZATION))
        assert asked[-1].status_code == 404
    for answer in asked:
        check_described(answer, method, path)


def test_what_was_delivered_is_described(client: FlaskClient, store: MessageStore) -> None:
    """Its members, and the refusal to discard it."""
    add_for(store, "app")
    store.deliveries.finish([delivered(claim(store.deliveries)[0])])
    [delivery] = store.deliveries.find(DeliveryQuery()).deliveries
    path = f"/deliveries/{delivery_id(delivery.number)}"
    answer = client.get(path, headers=API_AUTHORIZATION)
    check_described(answer, "GET", "/deliveries/{id}")
    answer = client.post(f"{path}/discard", headers=API_AUTHORIZATION)
    assert answer.status_code == 409
    check_described(answer, "POST", "/deliveries/{id}/discard")


@pytest.mark.parametrize(
    ("path", "schema"), [("/messages", ListParameters), ("/deliveries", DeliveryListParameters)]
)
def test_a_list_is_described_by_its_parameters(path: str, schema: type[Schema]) -> None:
    """Each parameter has a description, and its range if it has one."""
    described = {each["name"]: each for each in DOCUMENT["paths"][path]["get"]["parameters"]}
    assert described.keys() == {*schema().fields, "X-Request-ID"}
    assert all(each["description"] for each in described.values())
    limit = described["limit"]["schema"]
    assert (limit["minimum"], limit["maximum"], limit["default"]) == (1, MOST_LISTED, 50)


@pytest.mark.parametrize("name", REQUESTS)
def test_answers_are_as_described(client: FlaskClient, name: str) -> None:
    """Real answers have the status, headers, type and members that the description tells."""
    method, path, body, headers, status = REQUESTS[name]
    answer = client.open(path, method=method, data=body, headers=headers)
    assert answer.status_code == status
    check_described(answer, method, path)


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [("GET", "/nothing", "NotFound"), ("DELETE", "/ready", "MethodNotAllowed")],
)
def test_answers_outside_the_description_are_described(
    client: FlaskClient, method: str, path: str, name: str
) -> None:
    """An unknown path and an unknown method are answered as the components say."""
    answer = client.open(path, method=method)
    check_answer(answer, DOCUMENT["components"]["responses"][name], method)


@pytest.mark.parametrize(
    ("error", "status"), [(RequestTimeout("Too slow."), 408), (RuntimeError("unforeseen"), 500)]
)
def test_failures_are_as_described(
    client: FlaskClient,
    store: MessageStore,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    """So are the answers when a client is late, and when something breaks."""

    def fail() -> None:
        raise error

    monkeypatch.setattr(store, "new_body", fail)
    answer = client.post(INBOUND, data=RAW, headers=MESSAGE)
    assert answer.status_code == status
    check_described(answer, "POST", INBOUND)


def test_a_check_finds_what_is_not_described(app: Flask, client: FlaskClient) -> None:
    """The tests above would fail for a member, a type or a status that the description lacks."""
    changed: dict[str, Callable[[TestResponse], None]] = {
        "member": lambda answer: answer.set_data(b'{"status":"ready","more":1}'),
        "type": lambda answer: answer.headers.set("Content-Type", "text/html"),
        "status": lambda answer: setattr(answer, "status_code", 299),
        "header": lambda answer: answer.headers.remove("X-Request-ID"),
    }
    for change in changed.values():
        answer = client.get("/ready")
        check_described(answer, "GET", "/ready")
        change(answer)
        with pytest.raises(Exception, match=r"more|text/html|299|X-Request-ID"):
            check_described(answer, "GET", "/ready")
