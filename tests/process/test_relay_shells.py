"""gomail-relay does the same in each shell that may be /bin/sh, with a real GoMail."""

import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.requirement import require_program
from support.server import CHECKOUT, Server, free_port

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.promise(
    "nothing but GoMail's own refusal of a message makes Postfix bounce it"
)

RELAY = CHECKOUT / "config" / "postfix" / "gomail-relay"
MESSAGE = b"Return-Path: <>\nSubject: NUL \x00 and 8-bit \xe4\n\nbody\n\n\n"
TAKEN_BYTES = 1024 * 1024
TOO_LARGE = b"Subject: large\n\n" + b"y" * 40 * TAKEN_BYTES
TRY_AGAIN = 75

Run = Callable[..., tuple[int, bytes]]


@pytest.fixture(scope="module")
def gomail(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    directory = tmp_path_factory.mktemp("server")
    with Server(directory, max_message_size=TAKEN_BYTES) as server:
        yield server.start()


@pytest.fixture(params=["dash", "bash", "busybox"])
def run(request: pytest.FixtureRequest, gomail: Server, tmp_path: Path, said: list[bytes]) -> Run:
    """Return a function that runs the script in one shell, and returns exit code and status."""
    shell = [require_program(request.param), *(["sh"] if request.param == "busybox" else [])]
    token_file = tmp_path / "token"

    def run_relay(
        message: bytes,
        queue_id: str = request.param,
        token: str = gomail.token,
        port: int = gomail.port,
    ) -> tuple[int, bytes]:
        token_file.write_bytes(token.encode() + b"\n")
        url = f"http://127.0.0.1:{port}/mail/inbound"
        envelope = ["", "r@app.test", queue_id, "", "", ""]
        done = subprocess.run(
            [*shell, RELAY, url, token_file, *envelope],
            input=message,
            capture_output=True,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "http_proxy": "http://127.0.0.1:9"},
            check=False,
            timeout=100,
        )
        said.append(done.stdout)
        return done.returncode, done.stdout.split()[0]

    return run_relay


@pytest.fixture
def said() -> list[bytes]:
    """Return what the script has printed."""
    return []


def test_a_message_is_stored_as_it_was_piped(
    run: Run, gomail: Server, request: pytest.FixtureRequest
) -> None:
    """Byte for byte, with its null sender; a proxy in the environment isn't asked."""
    assert run(MESSAGE) == (0, b"2.0.0")
    with closing(SQLiteStore(gomail.data_dir)) as store:
        [message] = [
            each
            for each in store.search(Query())
            if each.envelope.queue_id == request.node.callspec.params["run"]
        ]
        assert store.read(message.message_id) == MESSAGE
    assert message.envelope.sender == ""


def test_the_reason_of_a_refusal_is_told(run: Run, gomail: Server, said: list[bytes]) -> None:
    """In GoMail's own words, with the id under which its log has the request."""
    assert run(b"no message") == (65, b"5.6.0")
    line = gomail.log()[-1]
    expected = f"5.6.0 Message refused: {line['detail']} (request {line['request_id']})\n"
    assert said == [expected.encode()]


def test_an_early_refusal_of_a_large_message_is_final(run: Run) -> None:
    """GoMail answers 413 while most is still to come: that is no broken connection."""
    assert [run(TOO_LARGE) for _ in range(3)] == [(65, b"5.3.4")] * 3


@pytest.mark.parametrize("end", ["\r", " ", "\t"])
def test_a_token_file_from_another_editor_works(run: Run, gomail: Server, end: str) -> None:
    """White space at the end of the line isn't part of the token."""
    assert run(MESSAGE, token=gomail.token + end) == (0, b"2.0.0")


def test_outages_defer(run: Run) -> None:
    """A wrong token and a port where nobody listens."""
    assert run(MESSAGE, token="not-the-token-of-this-server") == (TRY_AGAIN, b"4.7.8")
    assert run(MESSAGE, port=free_port()) == (TRY_AGAIN, b"4.4.1")
