"""`flask gomail check` says which link is broken, and leaves nothing behind."""

import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest
from click.testing import CliRunner
from support.front import HTML, WRONG_SUCCESS, Front
from support.server import NewServer, Server, free_port
from support.small_disk import full
from support.tokens import OTHER_TOKEN, TOKEN

from app.cli.check import check
from app.relay.canary import LOCAL_PART
from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, StoredMessage
from app.storage.sqlite.store import SQLiteStore

OK, WARNING, CRITICAL, UNKNOWN = range(4)
WRONG_USAGE = 2
CHECKS_AT_ONCE = 4

pytestmark = pytest.mark.thorough


def run(server: Server, *arguments: object, **settings: object) -> tuple[int, str]:
    """Run the command with the server's settings but for `settings`; see that no token shows."""
    server.environment |= {f"MAIL_{key.upper()}": str(value) for key, value in settings.items()}
    done = server.gomail("check", *arguments)
    output = (done.stdout + done.stderr).decode()
    assert "Traceback" not in output
    assert TOKEN not in output
    assert OTHER_TOKEN not in output
    return done.returncode, output


def stored(server: Server) -> list[StoredMessage]:
    """Return what is in the store."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return list(store.search(Query()))


def put(
    server: Server, age: timedelta, subject: str, recipient: str = f"{LOCAL_PART}@gomail.invalid"
) -> str:
    """Store a message that came `age` ago, and return its id."""
    at = datetime.now(UTC) - age
    new = Message(new_message_id(at), at, Envelope("", recipient), subject, os.urandom(8).hex())
    with closing(SQLiteStore(server.data_dir)) as store:
        return store.add(new, store.new_body()).message_id


class MailServer(ThreadingTCPServer):
    """A mail server that refuses every recipient; `received` is what it was told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.received: list[bytes] = []


class _Session(StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        self.wfile.write(b"220 mx.test ESMTP\r\n")
        answers = {b"rcpt": b"550 5.7.1 Relay access denied", b"quit": b"221 Bye"}
        while line := self.rfile.readline():
            self.server.received.append(line)
            self.wfile.write(answers.get(line[:4].lower(), b"250 Ok") + b"\r\n")


@pytest.fixture
def smtp() -> Iterator[MailServer]:
    """Yield a mail server that serves."""
    with MailServer() as listener:
        Thread(target=listener.serve_forever, daemon=True).start()
        yield listener
        listener.shutdown()


def test_a_working_server_is_ok_and_as_empty_as_before(server: Server) -> None:
    """0, one line, and the only message in the store is the one that was there."""
    server.deliver(b"From: a@example.com\r\nTo: b@example.com\r\n\r\n")
    before = stored(server)
    code, output = run(server)
    assert (code, output) == (OK, "ok: the server accepts and stores messages\n")
    assert stored(server) == before


@pytest.mark.parametrize("token", ["zweites-Schlüsselchen-in-UTF-8-mit-Länge", "ключ-" * 8])
def test_a_token_in_any_letters_is_sent_as_it_is_compared(
    new_server: NewServer, token: str
) -> None:
    """In UTF-8, as the server takes it from its configuration."""
    assert run(new_server(bearer_token=token).start())[0] == OK


def test_a_stopped_server_is_named(server: Server) -> None:
    """2, the address that doesn't answer, and what to look at."""
    server.stop()
    code, output = run(server)
    assert code == CRITICAL
    assert f"No answer from 127.0.0.1 port {server.port}" in output
    assert "Is the server running" in output


def test_a_server_that_never_started_is_named_and_nothing_is_made(new_server: NewServer) -> None:
    """No directory and no token: made here, they could belong to the wrong user."""
    server = new_server()
    code, output = run(server)
    assert code == CRITICAL
    assert str(server.data_dir) in output
    assert "no server was ever started" in output
    assert not server.data_dir.exists()


def test_another_token_is_named(new_server: NewServer) -> None:
    """2, and what to do; neither the right token nor the wrong one is shown."""
    server = new_server(bearer_token=TOKEN).start()
    code, output = run(server, bearer_token=OTHER_TOKEN)
    assert code == CRITICAL
    assert "a different token" in output


def test_a_missing_token_is_not_made_up(new_server: NewServer) -> None:
    """The server has one in its environment; the data directory stays without."""
    server = new_server(bearer_token=TOKEN).start()
    del server.environment["MAIL_BEARER_TOKEN"]
    code, output = run(server)
    assert code == CRITICAL
    assert "data_dir has a token" in output
    assert not (server.data_dir / "token").exists()
    server.environment["MAIL_BEARER_TOKEN"] = TOKEN


def test_a_rate_limit_is_named(new_server: NewServer) -> None:
    """The second check within a minute is one too many."""
    server = new_server(rate_limit_per_minute=1, rate_limit_burst=1).start()
    assert run(server)[0] == OK
    code, output = run(server)
    assert code == CRITICAL
    assert "rate_limited" in output
    assert "rate_limit_burst" in output


@pytest.mark.parametrize("answer", [HTML, WRONG_SUCCESS], ids=["403", "200"])
def test_something_else_on_the_port_is_named(server: Server, answer: bytes) -> None:
    """A page of somebody else's is no refusal of GoMail's and no success."""
    with Front(server.port) as front:
        front.answer = answer
        code, output = run(server, port=front.server_address[1])
    assert code == CRITICAL
    assert "Is it another server?" in output


def test_a_server_that_hangs_is_named_in_time(server: Server) -> None:
    """--timeout is for the answer too."""
    server.stop()
    with socket.create_server(("127.0.0.1", server.port)):
        began = time.monotonic()
        code, output = run(server, "--timeout", "1")
        took = time.monotonic() - began
    assert (code, took < 10) == (CRITICAL, True)
    assert f"No answer from 127.0.0.1 port {server.port}: timed out" in output


def test_a_connection_that_ends_without_an_answer_is_named(server: Server) -> None:
    """Like a stopped server, and without a trace."""
    with Front(free_port()) as front:  # it forwards to nobody
        code, output = run(server, port=front.server_address[1])
    assert code == CRITICAL
    assert "No answer from" in output


def test_a_full_disk_is_named(new_server: NewServer, small_disk: Path) -> None:
    """2 while it is full, and 0 afterwards."""
    server = new_server(data_dir=small_disk / "data").start()
    with full(small_disk):
        code, output = run(server)
        assert code == CRITICAL
        assert "storage_unavailable" in output
        assert "disk of data_dir" in output
    assert run(server)[0] == OK
    assert stored(server) == []


def test_a_wrong_data_dir_is_named_before_anything_is_sent(
    new_server: NewServer, tmp_path: Path
) -> None:
    """With nothing there no canary gets into the server's own store, which nobody would empty."""
    server = new_server(bearer_token=TOKEN).start()
    code, output = run(server, data_dir=tmp_path / "elsewhere")
    assert code == CRITICAL
    assert str(tmp_path / "elsewhere") in output
    assert stored(server) == []
    assert not (tmp_path / "elsewhere").exists()


def test_the_store_of_another_server_is_named(new_server: NewServer) -> None:
    """The canary is taken and never arrives: after --timeout it says so."""
    server = new_server(bearer_token=TOKEN).start()
    other = new_server(bearer_token=TOKEN).start()
    code, output = run(server, "--timeout", 1, data_dir=other.data_dir)
    assert code == CRITICAL
    assert "a different data_dir" in output


def test_a_canary_goes_to_a_domain_that_is_taken(new_server: NewServer) -> None:
    """The first of allowed_recipient_domains."""
    server = new_server(allowed_recipient_domains="b.test,a.test", primary_domain="c.test")
    assert run(server.start())[0] == OK


def test_other_recipient_domains_are_named(new_server: NewServer) -> None:
    """The file was changed and the server not reloaded."""
    server = new_server(allowed_recipient_domains="app.test").start()
    code, output = run(server, allowed_recipient_domains="new.test")
    assert code == CRITICAL
    assert "recipient_unknown" in output
    assert "reload" in output


def test_only_abandoned_canaries_are_taken_out(server: Server) -> None:
    """Those of checks that gave up; one of a check at this moment, and real mail, stays."""
    old, young = timedelta(minutes=11), timedelta(minutes=1)
    put(server, old, "GoMail canary 0")
    kept = {
        put(server, young, "GoMail canary 1"),
        put(server, old, "A letter to this address"),
        put(server, old, "GoMail canary 2", recipient="somebody@gomail.invalid"),
    }
    assert run(server)[0] == OK
    assert {message.message_id for message in stored(server)} == kept


def test_checks_at_the_same_moment_do_not_disturb_each_other(server: Server) -> None:
    """Each finds its own canary, though all take the same abandoned ones out."""
    for number in range(50):
        put(server, timedelta(hours=1), f"GoMail canary {number}")
    with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
        done = list(pool.map(lambda _: run(server), range(CHECKS_AT_ONCE)))
    assert [code for code, _ in done] == [OK] * CHECKS_AT_ONCE, done
    assert stored(server) == []


@pytest.mark.parametrize(
    "value",
    ["", "25", ":25", "host", "host:", "host:0", "host:65536", "host:x", "host:²", "::1:25"],
)
def test_a_malformed_mail_server_is_wrong_usage(new_server: NewServer, value: str) -> None:
    """2 and the reason, before anything is sent."""
    code, output = run(new_server(), "--smtp", value)
    assert code == WRONG_USAGE
    assert "is not a host:port" in output
    assert "ok:" not in output


def test_a_mail_server_that_is_down_is_named(new_server: NewServer) -> None:
    """The first link is sound, and the second is named with its address; IPv6 in brackets."""
    server = new_server(primary_domain="app.test").start()
    for host in ("127.0.0.1", "[::1]"):
        port = free_port()
        code, output = run(server, "--smtp", f"{host}:{port}")
        assert code == CRITICAL
        assert output.startswith("ok: the server accepts and stores messages")
        assert f"The mail server at {host.strip('[]')} port {port} didn't accept" in output


def test_a_mail_server_for_other_domains_is_named(new_server: NewServer, smtp: MailServer) -> None:
    """Its own words, the option to look at, and a null sender, so that nothing can bounce."""
    server = new_server(primary_domain="app.test").start()
    code, output = run(server, "--smtp", f"127.0.0.1:{smtp.server_address[1]}")
    assert code == CRITICAL
    assert f"{LOCAL_PART}@app.test: 550 5.7.1 Relay access denied. See virtual_mailbox" in output
    assert any(line.lower().startswith(b"mail from:<>") for line in smtp.received)


def test_without_a_domain_nothing_is_sent_through_a_mail_server(
    server: Server, smtp: MailServer
) -> None:
    """It could relay the canary to anywhere."""
    code, output = run(server, "--smtp", f"127.0.0.1:{smtp.server_address[1]}")
    assert code == CRITICAL
    assert "set primary_domain" in output
    assert smtp.received == []


def test_limits_that_do_not_fit_are_a_warning(server: Server, tmp_path: Path) -> None:
    """1 when all links are sound and Postfix accepts larger messages than GoMail."""
    postconf = tmp_path / "postconf"
    postconf.write_text("#!/bin/sh\necho 0\n")
    postconf.chmod(0o755)
    server.environment["PATH"] = f"{tmp_path}:{server.environment['PATH']}"
    code, output = run(server)
    assert code == WARNING
    assert "warning: Postfix accepts messages of up to 0 bytes" in output


def test_an_invalid_configuration_is_told_as_validate_does(new_server: NewServer) -> None:
    """3, every fault in a line of its own."""
    server = new_server(port=-1, workers="many")
    code, output = run(server)
    assert code == UNKNOWN
    assert output.encode() == server.gomail("validate").stderr
    assert output.count("\n") == 2


def test_an_unreadable_data_dir_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever isn't the user of the server gets a sentence, not a trace."""

    real_stat = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if path.name == "gomail.db":
            raise PermissionError(13, "Permission denied")
        return real_stat(path, **options)

    monkeypatch.setenv("MAIL_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setattr(Path, "stat", refuse)
    result = CliRunner().invoke(check, ["--config", "/dev/null"])
    assert result.exit_code == CRITICAL
    assert "as the user of the server" in result.output
