"""Planted secrets are looked for in everything that the server and its commands tell anybody."""

import base64
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.linux_process import children
from support.rounds import rounds
from support.server import CHECKOUT, FLASK, Answer, Server, free_port

pytestmark = pytest.mark.promise("no token and no password gets into an output")

TOKEN = "Pl4nted-T0ken-that-nobody-may-ever-see"
SECOND_TOKEN = "Pl4nted-Sec0nd-T0ken-of-a-rotation"
PASSWORD = "Pl4nted-P4ssword-of-redis"
API_TOKEN = "Pl4nted-T0ken-of-a-reader-0f-mail"
WRONG_TOKEN = "Pl4nted-Wr0ng-T0ken-of-a-client"
WEBHOOK_SECRET = f"whsec_{base64.b64encode(b'Pl4nted-secret-that-signs').decode()}"
URL_TOKEN = "Pl4nted-T0ken-in-a-query"
SECRETS = [TOKEN, SECOND_TOKEN, API_TOKEN, PASSWORD, WRONG_TOKEN, WEBHOOK_SECRET, URL_TOKEN]
MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: secret\r\n\r\nHello\r\n"
LIMITS = {"rate_limit_per_minute": 6000, "rate_limit_burst": 1000}


def webhook_url() -> str:
    """Return the URL of an endpoint that isn't there."""
    return f"http://127.0.0.1:{free_port()}/hook?token={URL_TOKEN}"


def redis_url() -> str:
    """Return the address of a Redis that isn't there, so that each request runs into it."""
    return f"redis://gomail:{PASSWORD}@127.0.0.1:{free_port()}/0"


def configured_by_environment(directory: Path) -> Server:
    """Return a server whose secrets are in MAIL_* variables."""
    tokens = f"{TOKEN},{SECOND_TOKEN}"
    server = Server(
        directory,
        log_level="debug",
        bearer_token=tokens,
        api_token=API_TOKEN,
        rate_limit_url=redis_url(),
        webhook_url=webhook_url(),
        webhook_secret=WEBHOOK_SECRET,
        **LIMITS,
    )
    return server.start()


def configured_by_secret_files(directory: Path) -> Server:
    """Return a server whose secrets are in files that variables name."""
    (directory / "url").write_text(redis_url())
    (directory / "token").write_text(TOKEN)
    (directory / "api-token").write_text(API_TOKEN)
    (directory / "secret").write_text(WEBHOOK_SECRET)
    given = {"name": "app", "url": webhook_url(), "secret_file": str(directory / "secret")}
    server = Server(
        directory,
        log_level="debug",
        log_format="text",
        bearer_token_file=directory / "token",
        api_token_file=directory / "api-token",
        rate_limit_url_file=directory / "url",
        webhook_url=webhook_url(),
        webhook_secret_file=directory / "secret",
        endpoints=json.dumps([given]),
        **LIMITS,
    )
    return server.start()


def configured_by_file(directory: Path) -> Server:
    """Return a server whose secrets are in the configuration file."""
    tokens = {"bearer_token": [TOKEN, SECOND_TOKEN], "api_token": [API_TOKEN]}
    webhook = {"webhook_url": webhook_url(), "webhook_secret": [WEBHOOK_SECRET]}
    secrets = tokens | webhook | {"rate_limit_url": redis_url()}
    config = directory / "gomail.json"
    config.write_text(json.dumps(secrets))
    return Server(directory, log_level="debug", config=config, **LIMITS).start()


def configured_by_flags(directory: Path) -> Server:
    """Return a server whose secrets are flags of the command that starts it."""
    tokens = ("--token", TOKEN, "--api-token", API_TOKEN)
    webhook = ("--webhook-url", webhook_url(), "--webhook-secret", WEBHOOK_SECRET)
    command = (FLASK, "gomail", "server", *tokens, *webhook, "--rate-limit-url", redis_url())
    return Server(directory, log_level="debug", **LIMITS).start(command, CHECKOUT)


WAYS = [
    configured_by_environment,
    configured_by_secret_files,
    configured_by_file,
    configured_by_flags,
]


@pytest.fixture(scope="module", params=rounds(WAYS, WAYS[1::2]))
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return a running server that has been told its secrets in one of the ways."""
    started = request.param(tmp_path_factory.mktemp("secrets"))
    with started:
        yield started


def check_hidden(text: str | bytes) -> None:
    """Check that no secret is in `text`."""
    assert [secret for secret in SECRETS if secret in text] == []


def deliver(
    server: Server, token: str, path: str = "/mail/inbound", body: bytes = MESSAGE
) -> Answer:
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
    return server.request("POST", path, body, headers)


@contextmanager
def broken_database(server: Server) -> Iterator[None]:
    """Take the tables away, so that storing fails as nobody has foreseen."""
    with closing(sqlite3.connect(server.data_dir / "gomail.db")) as database:
        found = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = [name for (name,) in found if not name.startswith("sqlite_")]
        for name in tables:
            database.execute(f"ALTER TABLE {name} RENAME TO {name}_away")
        try:
            yield
        finally:
            for name in tables:
                database.execute(f"ALTER TABLE {name}_away RENAME TO {name}")


def told(answer: Answer) -> str:
    return f"{answer.headers}{answer.body.decode()}"


def test_answers_hold_no_secret(server: Server) -> None:
    """Success, refusal, description, summary, both metrics, and what is told of endpoints."""
    reading = {"Authorization": f"Bearer {API_TOKEN}"}
    assert deliver(server, TOKEN).status == 200
    answers = [
        deliver(server, TOKEN),
        deliver(server, WRONG_TOKEN),
        deliver(server, API_TOKEN),
        deliver(server, TOKEN, "/nothing"),
        *(server.request("GET", path) for path in ("/health", "/ready", "/metrics")),
        server.request("GET", "/openapi.json"),
        *(server.request("GET", path, headers=reading) for path in ("/deliveries", "/endpoints")),
        server.request("POST", "/endpoints/webhook/test", headers=reading),
        server.get_metrics(),
        server.get_metrics("/nothing"),
    ]
    assert {answer.status for answer in answers} == {200, 401, 403, 404}
    for answer in answers:
        check_hidden(told(answer))


def test_process_arguments_hold_no_secret(server: Server) -> None:
    """Whoever may list processes sees none, whichever way it was configured."""
    pids = [server.pid, *children(server.pid)]
    assert len(pids) == 6  # master, two workers, the metrics port, retention, deliveries
    for pid in pids:
        check_hidden(Path(f"/proc/{pid}/cmdline").read_text())


def test_a_failure_tells_no_secret(server: Server) -> None:
    """Neither does the problem document, nor the traceback that is logged."""
    with broken_database(server):
        answer = deliver(server, TOKEN, body=MESSAGE + b"another")
    assert answer.status >= 500
    assert "Traceback" in server.output_file.read_text()
    check_hidden(told(answer))
    assert str(server.data_dir) not in told(answer)


def test_commands_tell_no_secret(server: Server) -> None:
    """Neither `validate`, nor lists of what is stored, nor how the endpoints are."""
    commands = [
        ["validate", "--json"],
        ["endpoints", "list"],
        ["endpoints", "list", "--json"],
        ["deliveries", "list", "--json"],
        ["validate"],
        ["messages", "list", "--json"],
    ]
    for arguments in commands[: rounds(6, 2)]:
        done = server.gomail(*arguments)
        assert done.returncode == 0, done.stderr
        check_hidden((done.stdout + done.stderr).decode())


def test_logs_hold_no_secret(server: Server) -> None:
    """At debug, with Redis missing, wrong tokens, and failures behind it."""
    deliver(server, TOKEN)
    deliver(server, WRONG_TOKEN)
    server.stop()
    written = server.output_file.read_text() + server.errors()
    assert "rate limit server can't be reached" in written
    check_hidden(written)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("bearer_token", f"{TOKEN}\n é"),
        ("rate_limit_url", f"http://x:{PASSWORD}@y"),
        ("webhook_url", f"https://x:{PASSWORD}@y"),
        ("webhook_secret", f"{WEBHOOK_SECRET}é"),
        ("endpoints", json.dumps([{"name": "a", "url": WEBHOOK_SECRET, "secret": WEBHOOK_SECRET}])),
    ],
)
def test_a_wrong_secret_is_refused_unseen(tmp_path: Path, key: str, value: str) -> None:
    """A start that fails for a secret's form doesn't show it, and neither does `validate`."""
    server = Server(tmp_path, **{key: value})
    for arguments in (["validate"], ["validate", "--json"], ["server"])[rounds(0, 1) :]:
        done = server.gomail(*arguments)
        assert done.returncode == 1
        assert key.encode() in done.stdout + done.stderr
        check_hidden((done.stdout + done.stderr).decode())
