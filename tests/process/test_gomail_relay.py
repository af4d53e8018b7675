"""config/postfix/gomail-relay: whatever happens, only GoMail's own refusal is final."""

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from support.relay_stand_in import STORED, StandIn
from support.requirement import require_program
from support.server import CHECKOUT, wait_for
from support.tokens import TOKEN

pytestmark = pytest.mark.promise(
    "nothing but GoMail's own refusal of a message makes Postfix bounce it"
)

RELAY = CHECKOUT / "config" / "postfix" / "gomail-relay"
TRY_AGAIN = 75
MESSAGE = b"From: a@example.com\nTo: b@example.com\n\n\x00 8-bit \xe4\n\n\n"
PROBLEM = "application/problem+json"
CURL_CODES = range(1, 128)


class Relay:
    """The script as Postfix would call it."""

    def __init__(self, directory: Path) -> None:
        self.token_file = directory / "token"
        self.token_file.write_text(f"{TOKEN}\n")
        self.path = os.environ["PATH"]
        self.url = "http://127.0.0.1:9/mail/inbound"

    def command(self, sender: str = "s@example.com", recipient: str = "r@example.com") -> list[str]:
        envelope = [
            sender,
            recipient,
            "4jYfT660RBzJ9dg",
            "192.0.2.1",
            "client.example",
            "helo.example",
        ]
        return [str(RELAY), self.url, str(self.token_file), *envelope]

    def run(self, message: bytes = MESSAGE, **envelope: str) -> subprocess.CompletedProcess[bytes]:
        return self.run_command(self.command(**envelope), message)

    def run_command(
        self, command: Sequence[str], message: bytes = MESSAGE
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            command,
            input=message,
            capture_output=True,
            env={"PATH": self.path, "MAIL_CONFIG": "/dev/null"},
            check=False,
            timeout=60,
        )


@pytest.fixture
def relay(tmp_path: Path) -> Relay:
    require_program("curl")
    return Relay(tmp_path)


@pytest.fixture
def stand_in(relay: Relay, tmp_path: Path) -> Callable[[str], None]:
    """Return a function that puts a shell script in curl's place."""
    directory = tmp_path / "bin"
    directory.mkdir()

    def make(script: str) -> None:
        file = directory / "curl"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        relay.path = f"{directory}:{relay.path}"

    return make


@pytest.fixture
def gomail(relay: Relay) -> Iterator[StandIn]:
    """Yield what a server in GoMail's place answers with; it keeps the requests."""
    with StandIn() as server:
        relay.url = server.url
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def problem(code: str) -> bytes:
    return f'{{"type": "urn:gomail:problem:{code}", "status": 0, "code": "{code}"}}'.encode()


def test_the_message_arrives_byte_for_byte_with_its_envelope(relay: Relay, gomail: StandIn) -> None:
    """NUL, 8-bit and trailing newlines stay; envelope, client and key come as headers."""
    done = relay.run()
    assert (done.returncode, done.stdout) == (0, b"2.0.0 Stored by GoMail\n")
    ((headers, body),) = gomail.requests
    assert body == MESSAGE
    assert headers["Authorization"] == f"Bearer {TOKEN}"
    assert headers["Content-Type"] == "message/rfc822"
    assert headers["X-Original-Sender"] == "s@example.com"
    assert headers["X-Original-Recipient"] == "r@example.com"
    assert headers["X-Original-Queue-Id"] == "4jYfT660RBzJ9dg"
    assert headers["X-Original-Client-Address"] == "192.0.2.1"
    assert headers["X-Original-Client-Hostname"] == "client.example"
    assert headers["X-Original-Helo"] == "helo.example"
    assert headers["Idempotency-Key"] == "4jYfT660RBzJ9dg r@example.com"


def test_the_null_sender_is_sent_as_an_empty_header(relay: Relay, gomail: StandIn) -> None:
    """An absent header would make GoMail take the sender from the message."""
    assert relay.run(sender="").returncode == 0
    assert gomail.requests[0][0]["X-Original-Sender"] == ""


@pytest.mark.parametrize(
    "recipient",
    [
        "-K/etc/passwd@x.test",
        "@file",
        '"a\\"; b"@x.test',
        "$(id)@x.test",
        "`id`@x.test",
        "a%s@x.test",
    ],
)
def test_an_odd_recipient_is_only_text(relay: Relay, gomail: StandIn, recipient: str) -> None:
    """Nothing in an address is an option, a file, a format or a command."""
    assert relay.run(recipient=recipient).returncode == 0
    assert gomail.requests[0][0]["X-Original-Recipient"] == recipient


@pytest.mark.parametrize(
    ("status", "code", "final"),
    [
        (413, "message_too_large", (65, b"5.3.4 ")),
        (415, "message_rejected", (65, b"5.6.0 ")),
        (422, "message_rejected", (65, b"5.6.0 ")),
        (422, "recipient_unknown", (67, b"5.1.1 ")),
        (404, "recipient_unknown", (67, b"5.1.1 ")),
        (403, "policy_reject", (77, b"5.7.1 ")),
    ],
)
def test_a_refusal_of_this_message_is_final(
    relay: Relay, gomail: StandIn, status: int, code: str, final: tuple[int, bytes]
) -> None:
    """The six refusals by GoMail's own problem document bounce, with the status that fits."""
    gomail.status, gomail.content_type, gomail.body = status, PROBLEM, problem(code)
    done = relay.run()
    assert (done.returncode, done.stdout[:6]) == final


DETAILS = [
    ("No mail is received for example.org here.", b"No mail is received for example.org here."),
    ('say "no" \\ go / away', b'say "no" \\ go / away'),
    ("two\r\n5.0.0 lines\x1b[31m", b"two  5.0.0 lines?[31m"),
    ("gr\xfcn \u2028", b"gr?n ?"),
    ("%s $(id) `id` * ~", b"%s $(id) `id` * ~"),
    ("x" * 5_000, b"x" * 200),
    ('", "request_id": "forged', b'", "request_id": "forged'),
]


@pytest.mark.parametrize(("detail", "shown"), DETAILS)
@pytest.mark.parametrize(
    "answer",
    [
        (422, "message_rejected", b"5.6.0 Message refused: "),
        (403, "policy_reject", b"5.7.1 Refused by policy: "),
        (503, "storage_unavailable", b"4.3.2 GoMail accepts no messages for now: "),
    ],
)
def test_the_reason_is_in_one_line(
    relay: Relay, gomail: StandIn, detail: str, shown: bytes, answer: tuple[int, str, bytes]
) -> None:
    """For log and bounce: detail and request id, printable and bounded, after the status."""
    status, code, first = answer
    document = {"detail": detail, "code": code, "request_id": "4f2a"}
    gomail.status, gomail.content_type = status, PROBLEM
    gomail.body = json.dumps(document).encode()
    assert relay.run().stdout == first + shown + b" (request 4f2a)\n"


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": "message_rejected", "detail": "raw \x00\x1b\xff\n bytes", "request_id": "a\tb"}',
        b'{"code": "message_rejected", "detail": "cut sh',
        b'{"code": "message_rejected", "detail": "cut \\u12',
        b'{"code": "message_rejected", "detail": "cut \\',
        b'{"code": "message_rejected", "detail": 5}',
    ],
)
def test_an_odd_document_makes_one_printable_line(
    relay: Relay, gomail: StandIn, body: bytes
) -> None:
    """The answer may be cut short, or of somebody who means harm."""
    gomail.status, gomail.content_type, gomail.body = 422, PROBLEM, body
    done = relay.run()
    assert (done.returncode, done.stderr) == (65, b"")
    assert done.stdout.startswith(b"5.6.0 Message refused")
    assert done.stdout[:-1].decode("ascii").isprintable()


@pytest.mark.parametrize("content_type", ["text/html", "application/json", "text/plain", ""])
@pytest.mark.parametrize("status", [403, 404, 413, 415, 422])
def test_a_refusal_by_anybody_else_is_not(
    relay: Relay, gomail: StandIn, status: int, content_type: str
) -> None:
    """A proxy's page defers, whatever words it holds."""
    gomail.status, gomail.content_type = status, content_type
    gomail.body = problem("policy_reject") + problem("message_too_large")
    done = relay.run()
    assert done.returncode == TRY_AGAIN
    assert done.stdout.startswith(b"4.")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "bad_request"),
        (401, "unauthorized"),
        (404, "not_found"),
        (405, "method_not_allowed"),
        (408, "timeout"),
        (415, "unsupported_media_type"),
        (429, "rate_limited"),
        (500, "internal_error"),
        (503, "shutting_down"),
        (503, "storage_unavailable"),
        (403, "message_too_large"),
        (500, "policy_reject"),
        (302, "policy_reject"),
    ],
)
def test_every_other_problem_defers(relay: Relay, gomail: StandIn, status: int, code: str) -> None:
    """What isn't about this message, or contradicts itself, is tried again."""
    gomail.status, gomail.content_type, gomail.body = status, PROBLEM, problem(code)
    done = relay.run()
    assert done.returncode == TRY_AGAIN
    assert done.stdout.startswith(b"4.")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>Welcome to our Wi-Fi</html>",
        b'{"status": "ok"}',
        b'{"status": "success", "data": null}',
        b'{"message_id": "1"}',
        b"\x00\n\r\n" * 1000,
        b"x" * 1_000_000,
    ],
)
def test_a_200_from_anybody_else_is_not_success(relay: Relay, gomail: StandIn, body: bytes) -> None:
    """Who answers 200 for somebody else hasn't stored the message."""
    gomail.body = body
    assert relay.run().returncode == TRY_AGAIN


def test_every_exit_code_of_curl_defers(relay: Relay, stand_in: Callable[[str], None]) -> None:
    """Curl's own codes are never handed on, whatever it has printed before."""
    stand_in(f"cat >/dev/null; printf '{STORED.decode()}\\n200 application/json'; exit \"$CODE\"")
    for code in CURL_CODES:
        done = subprocess.run(
            relay.command(),
            input=MESSAGE,
            capture_output=True,
            env={"PATH": relay.path, "CODE": str(code)},
            check=False,
            timeout=20,
        )
        assert (code, done.returncode) == (code, TRY_AGAIN)
        assert done.stdout.startswith(b"4.")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE])
def test_a_killed_curl_defers(
    relay: Relay, stand_in: Callable[[str], None], number: signal.Signals
) -> None:
    """A curl that is ended by a signal is an outage like any other."""
    stand_in(f"kill -{number.value} $$")
    assert relay.run().returncode == TRY_AGAIN


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_to_the_script_defers(
    relay: Relay, stand_in: Callable[[str], None], tmp_path: Path, number: int
) -> None:
    """Even when curl has gone on and succeeded."""
    stand_in(
        f"cat >/dev/null; : >{tmp_path}/running; sleep 1;"
        f" printf '{STORED.decode()}\\n200 application/json'"
    )
    process = subprocess.Popen(
        relay.command(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        env={"PATH": relay.path},
    )
    wait_for((tmp_path / "running").exists)
    process.send_signal(number)
    assert process.wait(30) == TRY_AGAIN


def test_a_missing_curl_defers(relay: Relay, tmp_path: Path) -> None:
    """The shell's 127 doesn't get out."""
    empty = tmp_path / "empty"
    empty.mkdir()
    relay.path = str(empty)
    command = [require_program("sh"), *relay.command()]
    assert relay.run_command(command).returncode == TRY_AGAIN


@pytest.mark.parametrize("content", [None, "", "\n"])
def test_a_token_file_without_a_token_defers(
    relay: Relay, gomail: StandIn, content: str | None
) -> None:
    """Missing or empty: nothing is sent."""
    relay.token_file.unlink()
    if content is not None:
        relay.token_file.write_text(content)
    assert relay.run().returncode == TRY_AGAIN
    assert not gomail.requests


@pytest.mark.parametrize("left", range(8))
def test_too_few_arguments_defer(relay: Relay, left: int) -> None:
    """A wrong line in master.cf costs time, not mail."""
    assert relay.run_command(relay.command()[: left + 1]).returncode == TRY_AGAIN


def test_a_line_feed_in_an_address_defers(relay: Relay, gomail: StandIn) -> None:
    """No address can add a header of its own."""
    assert relay.run(recipient="a@x.test\nX-Original-Sender: b@x.test").returncode == TRY_AGAIN
    assert not gomail.requests


def test_nobody_listens(relay: Relay) -> None:
    """A stopped GoMail defers, and the log says what happened."""
    done = relay.run()
    assert (done.returncode, done.stdout[:5]) == (TRY_AGAIN, b"4.4.1")


def test_the_token_is_not_in_the_list_of_processes(
    relay: Relay, stand_in: Callable[[str], None], tmp_path: Path
) -> None:
    """Neither the script's nor curl's arguments or environment hold it."""
    seen = tmp_path / "seen"
    stand_in(f"cat /proc/$$/cmdline /proc/$$/environ /proc/$PPID/cmdline >{seen}; cat >/dev/null")
    relay.run()
    assert b"--upload-file" in seen.read_bytes()
    assert TOKEN.encode() not in seen.read_bytes()


def test_the_script_has_nothing_to_hide_from_shellcheck() -> None:
    """Shellcheck finds nothing."""
    program = require_program("shellcheck")
    checked = subprocess.run([program, RELAY], capture_output=True, check=False, timeout=60)
    assert (checked.returncode, checked.stdout) == (0, b"")
