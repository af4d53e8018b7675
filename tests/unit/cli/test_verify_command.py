"""`messages verify` finds damage in segments, and takes nothing else for damage."""

import fcntl
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from support.segment_records import record_of, write_segment
from support.store import add

from app.storage.message import Reason
from app.storage.segments.damage import damaged_parts
from app.storage.segments.record import DESCRIPTION_BEGINS, FILE_HEADER
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]
WHOLE = "All {} messages are as they were received\n"


def the_segment(data_dir: Path) -> Path:
    [path] = (data_dir / "segments").glob("*.records")
    return path


def overwrite(path: Path, at: int, damage: bytes = b"damage") -> None:
    with path.open("rb+") as file:
        file.seek(at)
        file.write(damage)


def test_a_damaged_record_is_named(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """With the range of bytes that can't be read as records, and 1, though its content is there."""
    sizes = []
    for number in range(3):
        add(server_store, b"content", key=str(number))
        sizes.append(the_segment(data_dir).stat().st_size)
    path = the_segment(data_dir)
    overwrite(path, sizes[0] + 20)
    result = gomail_command("messages", "verify")
    assert result.exit_code == 1
    assert result.output.splitlines()[-3:] == [
        f"segments/{path.name}: damaged from byte {sizes[0]} to {sizes[1]}",
        "All 3 messages are as they were received",
        "1 part of segments can't be read as records",
    ]


def test_damaged_content_belongs_to_its_message(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """The message is named, and no part of a segment beside it."""
    message_id = add(server_store, b"content", key="1")
    add(server_store, b"other", key="2")
    path = the_segment(data_dir)
    overwrite(path, path.read_bytes().index(b"content"))
    result = gomail_command("messages", "verify")
    assert result.exit_code == 1
    assert result.output.splitlines()[-2:] == [
        f"{message_id}: damaged: the bytes don't match their checksum",
        "1 of 2 messages can't be read as they were received",
    ]


def test_what_is_erased_is_no_damage(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """Deleted messages, small and large, at the beginning, in the middle and at the end."""
    sizes = [6000, 10, 10, 3 * LARGE_MESSAGE_BYTES, 9000, LARGE_MESSAGE_BYTES, 10]
    added = [add(server_store, b"x" * size, key=str(key)) for key, size in enumerate(sizes)]
    server_store.remove([added[each] for each in (0, 2, 3, 6)], Reason.REQUEST)
    before_erasing = gomail_command("messages", "verify")
    server_store.erase()
    for result in (before_erasing, gomail_command("messages", "verify")):
        assert (result.exit_code, result.stdout) == (0, WHOLE.format(3))


def test_what_is_being_written_is_no_damage(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """A record that lacks any number of bytes yet, and a large one that looks like it."""
    add(server_store, b"content", key="1")
    server_store.remove([add(server_store, b"content", key="2")], Reason.REQUEST)
    other, places = write_segment(
        data_dir / "segments", [[record_of(1, b"x")], [record_of(2, b"y")]]
    )
    body = server_store.new_body()
    body.write(b"x" * LARGE_MESSAGE_BYTES + DESCRIPTION_BEGINS + b"}")
    whole = other.read_bytes()
    for length in [*range(0, 32, 5), *range(places[0].content.end, len(whole), 7)]:
        other.write_bytes(whole[:length])
        with other.open("rb") as writer:
            fcntl.flock(writer, fcntl.LOCK_EX)
            result = gomail_command("messages", "verify")
        assert (result.exit_code, result.stdout) == (0, WHOLE.format(1)), length
    body.discard()


def test_a_record_that_is_about_to_be_erased_is_no_damage(
    server_store: SQLiteStore, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where holes aren't supported, it is overwritten from its beginning on, and read meanwhile."""
    add(server_store, b"1" * 50_000, key="1")
    add(server_store, b"other", key="2")
    path = the_segment(data_dir)
    close = os.close
    erased_to = 0

    def erase_some_more(descriptor: int) -> None:
        nonlocal erased_to
        close(descriptor)
        overwrite(path, FILE_HEADER.size + erased_to, bytes(1000))
        erased_to += 1000

    overwrite(path, FILE_HEADER.size, bytes(100))
    assert len(damaged_parts(path)) == 1
    monkeypatch.setattr(os, "close", erase_some_more)
    assert damaged_parts(path) == []


def test_what_is_no_segment_is_left_alone(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """A directory, a link or a file with the name of another kind isn't read."""
    add(server_store, b"content", key="1")
    (data_dir / "segments" / f"{'2f' * 16}.records").mkdir()
    (data_dir / "segments" / f"{'3f' * 16}.records").symlink_to("/etc/hostname")
    (data_dir / "segments" / "notes.txt").write_bytes(b"notes")
    result = gomail_command("messages", "verify")
    assert (result.exit_code, result.stdout) == (0, WHOLE.format(1))


def test_leftovers_are_named(
    server_store: SQLiteStore, data_dir: Path, gomail_command: Run
) -> None:
    """With their size; they are no message's bytes, so every message is whole."""
    add(server_store, b"content", key="1")
    leftover = data_dir / "segments" / "leftovers" / f"{'1' * 32}.records.from-77"
    leftover.parent.mkdir()
    leftover.write_bytes(b"12345")
    result = gomail_command("messages", "verify")
    assert result.exit_code == 0
    assert f"segments/leftovers/{leftover.name}: 5 bytes without a message\n" in result.stdout


def test_the_help_tells_of_the_exit_code(gomail_command: Run) -> None:
    """And of damaged parts, and of leftovers."""
    shown = gomail_command("messages", "verify", "--help").stdout
    assert re.search(r"exit code is 1", shown)
    assert "segments/leftovers" in shown
