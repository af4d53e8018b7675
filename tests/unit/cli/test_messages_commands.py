"""The output of `messages list`, `show` and `export`, for people and scripts."""

import json
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from click.testing import Result

from app.cli.parameters import Moment
from app.mime.message import parse
from app.reading.cursor import make_cursor
from app.reading.describe import describe
from app.storage.message import Envelope, Message, SMTPClient
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]
AT = datetime(2026, 3, 1, 12, 0, 1, tzinfo=UTC)
RAW = b"""\
From: =?utf-8?q?J=C3=B6rg?= <joerg@example.org>\r
To: ann@example.com, Bob <bob@example.com>\r
Subject: =?utf-8?q?gr=C3=BCn?= \xe2\x80\xae\r
Date: Sun, 01 Mar 2026 13:00:00 +0100\r
Message-ID: <one@example.org>\r
X-Spam: \x1b[31m\r
Content-Type: multipart/mixed; boundary=x\r
\r
--x\r
\r
Hi\tAnn\r
\x1b[2J\r
--x\r
Content-Type: application/pdf; name="a\x1b.pdf"\r
Content-Transfer-Encoding: base64\r
\r
iVBORw==\r
--x--\r
"""
CLIENT = SMTPClient("192.0.2.7", "client.example", "helo.example")
JOERG = Envelope("joerg@example.org", "ann@example.com", CLIENT, queue_id="4cXyz1")


def id_of(number: int) -> str:
    """Return an id; ids of numbers below ten differ only in the last digit."""
    return f"019ca000-0000-7000-8000-{number:012}"


def store_message(
    store: SQLiteStore,
    number: int,
    raw: bytes = RAW,
    envelope: Envelope = JOERG,
    subject: str = "grün",
) -> str:
    at = AT + timedelta(seconds=number)
    body = store.new_body()
    body.write(raw)
    message = Message(id_of(number), at, envelope, subject, f"key-{number}")
    return store.add(message, body).message_id


def listed(run: Run, *options: object) -> list[str]:
    """Return the ids that `messages list --json` prints."""
    done = run("messages", "list", "--json", *options)
    assert done.exit_code == 0, done.output
    return [each["id"] for each in json.loads(done.stdout)]


def test_a_person_sees_what_matters(server_store: SQLiteStore, gomail_command: Run) -> None:
    """Envelope, main header fields, text and attachments, with control characters escaped."""
    shown = gomail_command("messages", "show", store_message(server_store, 0))
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        f"ID: {id_of(0)}",
        f"Received: 2026-03-01 12:00:01 UTC, {len(RAW)} bytes",
        "Sender: joerg@example.org",
        "Recipient: ann@example.com",
        "Queue id: 4cXyz1",
        "Client: 192.0.2.7, client.example, HELO helo.example",
        "From: Jörg <joerg@example.org>",
        "To: ann@example.com, Bob <bob@example.com>",
        "Date: 2026-03-01 13:00:00 +0100",
        "Subject: grün",
        "Message-ID: one@example.org",
        "Defects: filename_changed",
        "",
        "Hi      Ann",
        r"\x1b[2J",
        "",
        "Attachments:",
        "2  a .pdf  application/pdf  4 bytes",
    ]


def test_missing_values_have_no_line(server_store: SQLiteStore, gomail_command: Run) -> None:
    """Only the null sender of a bounce is shown, as <>."""
    bounce = store_message(server_store, 0, b"A: b\r\n\r\n", Envelope("", "ann@example.com"), "")
    assert gomail_command("messages", "show", bounce).stdout.splitlines() == [
        f"ID: {bounce}",
        "Received: 2026-03-01 12:00:01 UTC, 8 bytes",
        "Sender: <>",
        "Recipient: ann@example.com",
        "",
    ]


def test_many_people_are_counted(server_store: SQLiteStore, gomail_command: Run) -> None:
    """A message to hundreds of recipients doesn't push its text off the screen."""
    people = b", ".join(b"p%d@example.com" % number for number in range(500))
    store_message(server_store, 0, b"To: " + people + b"\r\n\r\nHi\r\n")
    [to] = re.findall("^To: .*$", gomail_command("messages", "show", "0").stdout, re.MULTILINE)
    assert to.startswith("To: p0@example.com, p1@example.com, ")
    assert to.endswith(", p9@example.com, and 490 more")


def test_a_script_gets_what_the_api_has(server_store: SQLiteStore, gomail_command: Run) -> None:
    """--json prints the API's object in ASCII, which is safe for terminals; --raw every byte."""
    message_id = store_message(server_store, 0)
    shown = gomail_command("messages", "show", message_id, "--json")
    assert json.loads(shown.stdout) == describe(server_store.get(message_id), parse(RAW))
    assert shown.stdout.isascii()
    assert gomail_command("messages", "show", message_id, "--raw").stdout_bytes == RAW


def test_raw_and_json_exclude_each_other(server_store: SQLiteStore, gomail_command: Run) -> None:
    """Both together are an error: neither is ignored silently."""
    done = gomail_command("messages", "show", store_message(server_store, 0), "--raw", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--raw and --json can't be used together" in done.stderr


@pytest.mark.parametrize(
    ("given", "number"),
    [
        (id_of(10), 10),
        (id_of(10).upper(), 10),
        (id_of(10)[:-1], 10),
        (id_of(1), 1),
        (id_of(20)[:-1], 20),
    ],
)
def test_a_unique_beginning_is_enough(
    server_store: SQLiteStore, gomail_command: Run, given: str, number: int
) -> None:
    """In upper or lower case; a complete id also works."""
    for each in (1, 2, 10, 20):
        store_message(server_store, each)
    shown = gomail_command("messages", "show", given).stdout
    assert shown.startswith(f"ID: {id_of(number)}\n")


@pytest.mark.parametrize("given", ["0", "019CA000", id_of(1)[:-1]])
def test_an_ambiguous_id_is_refused(
    server_store: SQLiteStore, gomail_command: Run, given: str
) -> None:
    """The error says so, and nothing is shown."""
    for number in (1, 2):
        store_message(server_store, number)
    done = gomail_command("messages", "show", given)
    assert done.exit_code == 1
    told = f"Several messages have an id that begins with '{given}': give more of it.\n"
    assert done.output == told


@pytest.mark.parametrize(
    "given", ["", "1", "nothing", "%", "_", "../..", "0" * 10_000, id_of(1) + "0"]
)
def test_an_unknown_id_is_refused_in_one_line(
    server_store: SQLiteStore, gomail_command: Run, given: str
) -> None:
    """No character is a wildcard, and a long id isn't repeated in full."""
    store_message(server_store, 1)
    done = gomail_command("messages", "show", given)
    assert done.exit_code == 1
    assert done.output.startswith("No message has the id '")
    assert len(done.output) < 120


ANN, BOB = Envelope("ann@example.org", "x@example.com"), Envelope("", "y@example.com")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--sender", "ANN@example.org"], [2, 0]),
        (["--sender", "<>"], [1]),
        (["--sender", ""], [1]),
        (["--subject", "STRASSE"], [1, 0]),
        (["--subject", "straße", "--sender", "ann@example.org"], [0]),
        (["--recipient", "y@example.com"], [1]),
        (["--since", "2026-03-01T12:00:02Z", "--until", "2026-03-01T12:00:03Z"], [1]),
        (["--since", "1h"], []),
        (["--until", "1h"], [2, 1, 0]),
        (["--after", ""], [0, 1, 2]),
    ],
)
def test_each_option_selects_messages(
    server_store: SQLiteStore, gomail_command: Run, options: list[str], found: list[int]
) -> None:
    """Alone and together, in `list` and in `export`."""
    for number, (envelope, subject) in enumerate(
        [(ANN, "Hauptstraße 1"), (BOB, "HAUPTSTRASSE 2"), (ANN, "")]
    ):
        store_message(server_store, number, envelope=envelope, subject=subject)
    assert listed(gomail_command, *options) == [id_of(number) for number in found]
    assert gomail_command("messages", "export", "out", *options).exit_code == 0
    assert sorted(path.stem for path in Path("out").iterdir()) == sorted(map(id_of, found))


def test_a_list_continues_after_its_cursor(server_store: SQLiteStore, gomail_command: Run) -> None:
    """From an empty cursor to the end, then to newer messages: each message is listed once."""
    for number in range(5):
        store_message(server_store, number)
    seen: list[str] = []
    cursor = ""
    for beginning in ("Only the first 2 are listed. For the next",) * 2 + ("For newer",) * 2:
        done = gomail_command("messages", "list", "--json", "--limit", 2, "--after", cursor)
        seen += [each["id"] for each in json.loads(done.stdout)]
        told = re.fullmatch(rf"{re.escape(beginning)} ones add --after (\S+)\n", done.stderr)
        assert told is not None, done.stderr
        cursor = told[1]
    assert seen == [id_of(number) for number in range(5)]
    store_message(server_store, 5)
    assert listed(gomail_command, "--after", cursor) == [id_of(5)]


def test_an_empty_list_gives_back_the_cursor(
    server_store: SQLiteStore, gomail_command: Run
) -> None:
    """The suggested option works even before the first message."""
    done = gomail_command("messages", "list", "--after", "")
    assert done.stderr == "For newer ones add --after ''\n"


@pytest.mark.parametrize(("limit", "told"), [(1, "set --limit higher"), (2, "add --until ")])
def test_who_does_as_told_gets_on(
    server_store: SQLiteStore, gomail_command: Run, limit: int, told: str
) -> None:
    """With a time only if that leads to others than those that are listed already."""
    for number in range(3):
        store_message(server_store, number)
    cut = gomail_command("messages", "list", "--limit", limit).stderr
    assert cut.startswith(f"Only the newest {limit} are listed. For older ones {told}")


@pytest.mark.parametrize("limit", ["0", "1" + "0" * 19, "x"])
def test_a_limit_that_cannot_be_is_refused(
    server_store: SQLiteStore, gomail_command: Run, limit: str
) -> None:
    """Also one that no machine can count to."""
    store_message(server_store, 0)
    done = gomail_command("messages", "list", "--limit", limit)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "--limit" in done.stderr


@pytest.mark.parametrize("option", ["--recipient", "--sender", "--subject"])
@pytest.mark.parametrize("command", [["list"], ["export", "out"]])
def test_what_is_not_utf_8_is_refused(
    server_store: SQLiteStore, gomail_command: Run, command: list[str], option: str
) -> None:
    """In a line that names the option; a shell passes bytes on as they are."""
    store_message(server_store, 0)
    done = gomail_command("messages", *command, option, "a\udcff@b.example")
    assert (done.exit_code, done.stdout) == (2, "")
    assert f"{option}': 'a\\udcff@b.example' is not UTF-8" in done.stderr


@pytest.mark.parametrize("command", [["list"], ["export", "out"]])
def test_a_cursor_from_another_store_is_refused(
    server_store: SQLiteStore, gomail_command: Run, tmp_path: Path, command: list[str]
) -> None:
    """Otherwise messages would be left out silently."""
    store_message(server_store, 0)
    with closing(create_store(tmp_path / "other")) as other:
        foreign = make_cursor(other.identity(), 0)
    for cursor, reason in ((foreign, "from another store"), ("nonsense", "invalid")):
        done = gomail_command("messages", *command, "--after", cursor)
        assert done.exit_code == 1
        assert reason in done.output
        assert id_of(0) not in done.output
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("7d", AT - timedelta(days=7)),
        ("12h", AT - timedelta(hours=12)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T12:00+02:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_time_a_date_or_an_age(text: str, moment: datetime) -> None:
    """Ages count back from now; a date or time is UTC unless it has a time zone."""
    assert Moment(lambda: AT).convert(text, None, None) == moment


@pytest.mark.parametrize("text", ["", "0d", "7", "d", "-7d", "7D", "7w", "yesterday", "1\x1b[2J"])
def test_what_is_no_time_is_refused(text: str) -> None:
    """The error has examples of all three forms, and escapes control characters."""
    with pytest.raises(click.BadParameter) as caught:
        Moment(lambda: AT).convert(text, None, None)
    assert "2026-01-31T12:00Z or 7d (ago)" in caught.value.message
    assert "\x1b" not in caught.value.message
