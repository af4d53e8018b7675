"""`messages delete`, `purge` and `erase` delete what they are told, and erase it; nothing else."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import Result
from support.damage import missing_database

from app.cli.deletion import _PIECE
from app.errors import StorageUnavailable
from app.storage.ids import new_message_id
from app.storage.interface import Query
from app.storage.message import Envelope, Message, Reason
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]
NOW = datetime.now(UTC)
UNKNOWN = "01a21776-9b1b-7885-9852-ab23ae59a588"
COMMANDS = ["delete", "purge", "erase"]
LONG = 10_000 * "9"
NOT_IDS = ["", "\0", LONG, "../..", "\udcff", "%", "' OR 1=1", UNKNOWN.upper(), "\x1b[2J"]
NOT_AGES = ["-5d", "0d", "", "5", "d", "5m", "1.5d", "5 d", "٣d", "\0", f"{LONG}d", "../..", "5d\n"]
NO_ADDRESSES = ["", "@", "ann", "ann@", "@example.com", "\0@b", "a@b\n", "\udcff@b", LONG]


def add(
    store: SQLiteStore,
    raw: bytes = b"Subject: x\r\n\r\nHello\r\n",
    *,
    sender: str = "ann@example.com",
    recipient: str = "bob@example.com",
    age: timedelta = timedelta(0),
) -> str:
    at = NOW - age
    message_id = new_message_id(at)
    body = store.new_body()
    body.write(raw)
    store.add(Message(message_id, at, Envelope(sender, recipient), "", message_id), body)
    return message_id


def stored(store: SQLiteStore) -> set[str]:
    return {message.message_id for message in store.search(Query())}


def files_with(word: bytes, directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and word in path.read_bytes()]


def segments(data_dir: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (data_dir / "segments").iterdir()}


@pytest.mark.parametrize("size", [1000, 2 * LARGE_MESSAGE_BYTES])
def test_a_deleted_message_is_found_nowhere(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run, size: int
) -> None:
    """Its bytes, its sender and its recipient are in no file, beside a store that is open."""
    other = add(server_store, b"other")
    gone = add(
        server_store, b"pineapple" + b"." * size, sender="p1neapple@b", recipient="c@p1neapple"
    )
    assert files_with(b"pineapple", data_dir)
    assert files_with(b"p1neapple", data_dir)
    result = gomail_command("messages", "delete", gone)

    assert (result.exit_code, result.stderr) == (0, "Deleting\n")
    amount = f"1 message ({size + 9} bytes)"
    assert result.stdout == f"Deleting {amount}\nDeleted {amount}\n"
    assert files_with(b"pineapple", data_dir) == files_with(b"p1neapple", data_dir) == []
    assert stored(server_store) == {other}
    assert server_store.read(other) == b"other"
    assert server_store.statistics().deleted == {Reason.REQUEST: 1, Reason.RETENTION: 0}


def test_many_are_counted(server_store: SQLiteStore, gomail_command: Run) -> None:
    """All ids given are deleted, more than one piece of them; each counts once."""
    kept = add(server_store)
    given = [add(server_store, b"1234567") for _ in range(2 * _PIECE + 1)]
    result = gomail_command("messages", "delete", *given, *given)
    assert result.exit_code == 0
    amount = f"{len(given)} messages ({len(given) * 7} bytes)"
    assert result.stdout == f"Deleting {amount}\nDeleted {amount}\n"
    assert stored(server_store) == {kept}


@pytest.mark.parametrize("given", [UNKNOWN, *NOT_IDS])
def test_an_unknown_id_is_named(server_store: SQLiteStore, gomail_command: Run, given: str) -> None:
    """The last line has it, the exit code is 1, and the others are deleted."""
    known, kept = add(server_store), add(server_store)
    result = gomail_command("messages", "delete", given, known)
    assert result.exit_code == 1
    line = result.output.splitlines()[-1]
    assert line.startswith("No message has the id '")
    assert re.fullmatch(r"[ -~…]*", line)
    assert len(line) < 100
    assert given[:3] in line or not given.isprintable()
    assert "Deleted 1 message " in result.stdout
    assert stored(server_store) == {kept}


def test_a_deleted_one_is_unknown(server_store: SQLiteStore, gomail_command: Run) -> None:
    """The second time there is nothing to be deleted, and the exit code says so."""
    gone = add(server_store)
    assert gomail_command("messages", "delete", gone).exit_code == 0
    again = gomail_command("messages", "delete", gone)
    assert again.exit_code == 1
    assert "Deleted 0 messages (0 bytes)\n" in again.stdout
    assert again.output.endswith(f"No message has the id '{gone}'.\n")


@pytest.mark.parametrize(
    ("options", "left"),
    [
        (["--older-than", "30d"], {"29d", "30d of bob", "1h"}),
        (["--older-than", "29d"], {"1h"}),
        (["--older-than", "12h", "--recipient", "CARL@EXAMPLE.COM"], {"30d of bob", "1h"}),
        (["--older-than", "12h", "--recipient", "nobody@example.com"], None),
        (["--older-than", "99999d"], None),
    ],
)
def test_purge_deletes_by_age(
    server_store: SQLiteStore, gomail_command: Run, options: Sequence[str], left: set[str] | None
) -> None:
    """What is older than the age, for the recipient if there is one, and nothing younger."""
    added = {
        "31d": add(server_store, age=timedelta(days=31), recipient="carl@example.com"),
        "30d of bob": add(server_store, age=timedelta(days=29, hours=23)),
        "29d": add(server_store, age=timedelta(days=29, hours=1), recipient="carl@example.com"),
        "1h": add(server_store, age=timedelta(hours=1), recipient="carl@example.com"),
    }
    result = gomail_command("messages", "purge", *options)
    assert result.exit_code == 0
    expected = set(added) if left is None else left
    assert {name for name, each in added.items() if each in stored(server_store)} == expected
    assert f"Deleted {len(added) - len(expected)} message" in result.stdout


def test_erase_deletes_by_address(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """From it or to it, however its domain is written; what only looks like it stays."""
    for sender, recipient in [
        ("Ann@Bücher.example", "b@c"),
        ("b@c", "ann@xn--bcher-kva.example"),
        ("ANN@BÜCHER.EXAMPLE", "ann@bücher.example"),
    ]:
        add(server_store, b"pineapple", sender=sender, recipient=recipient)
    kept = {
        add(server_store, sender="joann@bücher.example"),
        add(server_store, sender="ann@bücher.example.org", recipient="%@bücher.example"),
        add(server_store, sender=""),
    }
    result = gomail_command("messages", "erase", "--address", "ann@bücher.example")
    assert result.exit_code == 0
    assert result.stdout.endswith("Deleted 3 messages (27 bytes)\n")
    assert stored(server_store) == kept
    assert files_with(b"pineapple", data_dir) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_a_dry_run_changes_nothing(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run, command: str
) -> None:
    """It says how much would be deleted, and every message and every byte of segments stays."""
    gone = add(server_store, b"12345", age=timedelta(days=2))
    add(server_store, sender="other@example.com")
    options = {
        "delete": [gone],
        "purge": ["--older-than", "1d"],
        "erase": ["--address", "ann@example.com"],
    }
    before = stored(server_store), segments(data_dir)
    dry = gomail_command("messages", command, "--dry-run", *options[command])
    assert (dry.exit_code, dry.output) == (0, "1 message (5 bytes) would be deleted\n")
    assert (stored(server_store), segments(data_dir)) == before
    assert gomail_command("messages", command, *options[command]).exit_code == 0
    assert stored(server_store) == before[0] - {gone}


@pytest.mark.parametrize(
    "arguments",
    [
        ["delete"],
        ["purge"],
        ["erase"],
        *(["purge", "--older-than", age] for age in NOT_AGES),
        *(["erase", "--address", address] for address in NO_ADDRESSES),
        *(["purge", "--older-than", "1h", "--recipient", address] for address in NO_ADDRESSES),
    ],
    ids=lambda arguments: " ".join(arguments)[:40].encode("unicode_escape").decode(),
)
def test_wrong_input_deletes_nothing(
    server_store: SQLiteStore, gomail_command: Run, arguments: Sequence[str]
) -> None:
    """It is a usage error, which names the argument in a line that a terminal can show."""
    kept = {
        add(server_store, age=timedelta(days=9)),
        add(server_store, sender="", age=timedelta(days=9)),
    }
    result = gomail_command("messages", *arguments)
    assert result.exit_code == 2
    [line] = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert line.isprintable()
    assert len(line) < 200
    assert result.stdout == ""
    assert stored(server_store) == kept


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_tells_what_goes(gomail_command: Run, command: str) -> None:
    """Of each command, and of the group that has it, with the option that deletes nothing."""
    shown = " ".join(gomail_command("messages", command, "--help").stdout.split())
    assert "erase their bytes" in shown or "asks to be forgotten" in shown
    assert "--dry-run" in shown
    listed = gomail_command("messages", "--help").stdout
    assert re.search(rf"^  {command} +Delete ", listed, re.MULTILINE)


def test_nothing_was_ever_stored(data_dir: Path, gomail_command: Run) -> None:
    """A wrong data_dir is said, and isn't created."""
    result = gomail_command("messages", "delete", UNKNOWN)
    assert (result.exit_code, result.output) == (1, f"Nothing is stored in {data_dir} yet.\n")
    assert not data_dir.exists()


def test_what_the_index_lacks_is_deleted_too(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """Messages that only their segment knows, as after a restore, don't come back at a start."""
    add(server_store, b"pineapple")
    server_store.close()
    missing_database(data_dir)
    result = gomail_command("messages", "erase", "--address", "ann@example.com")
    assert "Deleted 1 message (9 bytes)" in result.stdout
    assert files_with(b"pineapple", data_dir) == []


def test_a_failure_in_between_tells_how_far_it_got(
    server_store: SQLiteStore, gomail_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code is 1; what was deleted before is counted, and the rest is still there."""
    given = [add(server_store, b"1234567") for _ in range(_PIECE + 1)]
    real = SQLiteStore.remove

    def remove(self: SQLiteStore, message_ids: Sequence[str], reason: Reason) -> list[str]:
        if len(message_ids) < _PIECE:
            raise StorageUnavailable from OSError(28, "No space left on device")
        return real(self, message_ids, reason)

    monkeypatch.setattr(SQLiteStore, "remove", remove)
    result = gomail_command("messages", "delete", *given)
    assert result.exit_code == 1
    assert f"Only {_PIECE} messages ({_PIECE * 7} bytes) could be deleted" in result.output
    assert "No space left on device" in result.output
    assert stored(server_store) == {given[-1]}
