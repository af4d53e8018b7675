"""What `flask gomail endpoints` tells and does, beside an open store."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from standardwebhooks import Webhook
from support.deliveries import add_for, at, claim, delivered
from support.endpoint_server import EndpointServer, answering, healthy
from support.endpoints import SECRET

from app.deliveries.signing_secret import prepare_secrets
from app.settings import load
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[EndpointServer]:
    """Return an application that takes everything."""
    with EndpointServer(healthy) as made:
        yield made


@pytest.fixture
def run(
    gomail_command: Run, server: EndpointServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Return a function that runs `flask gomail endpoints …`, with two endpoints configured."""
    secret = tmp_path / "app.secret"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    app = {"name": "app", "url": f"{server.url()}?token=s3cret", "secret_file": str(secret)}
    log = {"name": "log", "url": "http://archive/", "format": "raw"}
    monkeypatch.setenv("MAIL_ENDPOINTS", json.dumps([app, log]))
    return lambda *arguments: gomail_command("endpoints", *arguments)


def test_a_person_sees_how_the_endpoints_are(
    server_store: SQLiteStore, run: Run, server: EndpointServer
) -> None:
    """What waits for each, whether it gets it, and why not; no secret."""
    add_for(server_store, "app", "log", "old")
    add_for(server_store, "app", seconds=5)
    queue = server_store.deliveries
    queue.finish([delivered(claim(queue, limit=1)[0])])
    queue.open_breaker("app", "timeout", at(9))
    queue.pause("log", "gone")
    done = run("list")
    assert done.exit_code == 0
    head, *rows = done.stdout.splitlines()
    assert head.split("  ")[0] == "NAME"
    pending = "2026-03-01 12:00:0"
    assert [" ".join(row.split()) for row in rows] == [
        f"app open (timeout) 1 1 0 0 {pending}5 {server.url()}?***",
        f"log paused (gone) 1 0 0 0 {pending}0 http://archive/",
        f"old paused (not_configured) 1 0 0 0 {pending}0",
    ]
    as_json = run("list", "--json").stdout
    assert [each["state"] for each in json.loads(as_json)] == ["open", "paused", "paused"]
    for secret in ("s3cret", SECRET):
        assert secret not in done.output + as_json


def test_an_endpoint_is_paused_and_resumed(server_store: SQLiteStore, run: Run) -> None:
    """For every process that uses the store; twice is as good as once."""
    for _ in range(2):
        assert run("pause", "app").stdout == "app is paused\n"
    assert server_store.deliveries.paused() == {"app": "requested"}
    assert run("resume", "app").stdout == "app is resumed\n"
    assert run("resume", "app").stdout == "app was not paused\n"
    assert server_store.deliveries.paused() == {}


def test_one_that_is_not_configured_can_be_resumed(server_store: SQLiteStore, run: Run) -> None:
    """It says that its deliveries wait all the same."""
    add_for(server_store, "old")
    server_store.deliveries.pause("old", "gone")
    done = run("resume", "old")
    assert done.stdout == "old is resumed\n"
    assert "old is not configured" in done.stderr


@pytest.mark.parametrize("command", ["pause", "resume", "test"])
@pytest.mark.parametrize("name", ["none", "APP", "", "\x1b[2J", "a" * 10_000])
def test_an_unknown_name_is_said_in_a_line(
    server_store: SQLiteStore, run: Run, command: str, name: str
) -> None:
    """With those that there are; nothing is paused that somebody may configure later."""
    done = run(command, name)
    assert done.exit_code == 1
    assert "configured: app, log" in done.output
    assert "\x1b" not in done.output
    assert len(done.output) < 250
    assert server_store.deliveries.paused() == {}


def test_a_sample_is_signed(run: Run, server: EndpointServer) -> None:
    """The official library verifies it, at its own time; no store is needed."""
    done = run("test", "app")
    assert (done.exit_code, done.stderr) == (0, "> ok\n")
    assert done.stdout.startswith(f"ok: {server.url()}?*** (127.0.0.1) answered 200 within ")
    [received] = server.received
    verified = Webhook(SECRET).verify(received.body, dict(received.headers))
    assert verified["data"]["subject"] == "GoMail test"


def test_a_generated_secret_signs(
    server_store: SQLiteStore, run: Run, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of the server, which makes it: the command says so, and makes none."""
    done = run("test", "log")
    assert done.exit_code == 1
    assert "no secret yet" in done.output
    assert not (data_dir / "endpoints").exists()
    with EndpointServer(healthy) as other:
        monkeypatch.setenv("MAIL_ENDPOINTS", json.dumps([{"name": "log", "url": other.url()}]))
        settings = load({}, dict(os.environ), Path("/dev/null"))
        prepare_secrets(settings.deliveries.endpoints, data_dir)
        assert run("test", "log").exit_code == 0
        secret = (data_dir / "endpoints" / "log.secret").read_text().strip()
        [received] = other.received
        Webhook(secret).verify(received.body, dict(received.headers))


@pytest.mark.parametrize(
    ("url", "told", "advice"),
    [
        ("http://nobody.invalid/", "broken: name_not_found: ", "host in url"),
        ("http://127.0.0.1:9/", "broken: connection_failed: ", "firewall"),
    ],
)
def test_a_broken_link_is_named(
    *,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    url: str,
    told: str,
    advice: str,
) -> None:
    """With what may help; the exit code is 1."""
    given = {"name": "app", "url": url, "secret_file": str(tmp_path / "app.secret")}
    monkeypatch.setenv("MAIL_ENDPOINTS", json.dumps([given]))
    done = run("test", "app")
    assert done.exit_code == 1
    assert told in done.output
    assert advice in done.output


def test_a_refusal_hints_at_the_signature(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And shows what the application says, of which a terminal obeys nothing."""
    reply = b"HTTP/1.1 401 No\r\nContent-Length: 9\r\n\r\nbad\x1b[2J\r\n"
    with EndpointServer(answering(reply)) as refusing:
        given = {"name": "app", "url": refusing.url(), "secret_file": str(tmp_path / "app.secret")}
        monkeypatch.setenv("MAIL_ENDPOINTS", json.dumps([given]))
        done = run("test", "app")
    assert done.exit_code == 1
    assert "broken: refused: The endpoint answered 401 No.\n" in done.stdout
    assert done.stderr == "> bad\\x1b[2J\n"
    assert "secret of this endpoint" in done.output
