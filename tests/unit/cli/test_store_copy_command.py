"""`store copy` says what it has copied, names what it couldn't, and refuses what can't be right."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from support.copies import contents
from support.deliveries import add_for
from support.store import add, records, stored

from app.storage.message import Reason
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.store import SQLiteStore

Run = Callable[..., Result]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """Return where nothing is yet."""
    return tmp_path / "moved" / "data"


def test_it_says_what_it_has_copied(
    server_store: SQLiteStore, gomail_command: Run, target: Path
) -> None:
    """Beside a server that has the store open; the second run says what was there already."""
    ids = [add(server_store, b"x" * size, key=str(size)) for size in (10, 20, 30)]
    add_for(server_store, "app", "log")
    server_store.remove(ids[:1], Reason.REQUEST)
    first = gomail_command("store", "copy", "--to", target)
    assert first.exit_code == 0
    assert first.stdout.splitlines() == [
        "Copied 3 messages (64 bytes); each was read again, and its SHA-256 is that of the"
        " original",
        "0 messages in the target already, with the same SHA-256",
        "Copied 1 deletions; 0 messages removed from the target",
        "0 deliveries are new or changed",
    ]
    add(server_store, b"y", key="new")
    server_store.remove(ids[1:2], Reason.REQUEST)
    second = gomail_command("store", "copy", "--to", target)
    assert second.exit_code == 0
    assert "Copied 1 message (1 bytes)" in second.stdout
    assert "2 messages in the target already" in second.stdout
    assert "Copied 1 deletions; 1 message removed from the target" in second.stdout
    with closing(SQLiteStore(target)) as store:
        assert contents(store) == contents(server_store)


def test_what_is_damaged_or_missing_is_named_and_the_rest_copied(
    server_store: SQLiteStore, gomail_command: Run, data_dir: Path, target: Path
) -> None:
    """The exit code is 1; once the segment is back, the next run copies what was missing."""
    damaged = add(server_store, b"pineapple", key="1")
    intact = add(server_store, b"intact", key="2")
    [small] = records(data_dir)
    missing = add(server_store, b"x" * (LARGE_MESSAGE_BYTES + 1), key="3")
    [large] = set(records(data_dir)) - {small}
    small.write_bytes(small.read_bytes().replace(b"pineapple", b"pineappls"))
    away = large.rename(data_dir / "away")
    result = gomail_command("store", "copy", "--to", target)
    assert result.exit_code == 1
    assert "Copied 1 message (6 bytes)" in result.stdout
    assert result.output.splitlines()[-3:] == [
        f"{damaged}: damaged: the bytes don't match their checksum",
        f"{missing}: missing: segments/{large.name} isn't there",
        "2 messages could not be copied as received",
    ]
    with closing(SQLiteStore(target)) as store:
        assert list(stored(store)) == [intact]
    away.rename(large)
    again = gomail_command("store", "copy", "--to", target)
    assert f"Copied 1 message ({LARGE_MESSAGE_BYTES + 1} bytes)" in again.stdout
    assert again.exit_code == 1


def test_mail_that_only_the_target_has_is_said(
    server_store: SQLiteStore, gomail_command: Run, target: Path
) -> None:
    """What the target has received stays there, and so does what it has deleted."""
    gone = add(server_store, b"x")
    assert gomail_command("store", "copy", "--to", target).exit_code == 0
    with closing(SQLiteStore(target)) as store:
        add(store, b"y", key="of the target")
        store.remove([gone], Reason.REQUEST)
    result = gomail_command("store", "copy", "--to", target)
    assert result.exit_code == 0
    assert "1 message not copied: deleted in the target\n" in result.stdout
    assert "1 message in the target only: " in result.stdout


def test_a_target_in_use_is_refused(
    server_store: SQLiteStore, gomail_command: Run, target: Path
) -> None:
    """A server there would deliver the same messages; the store itself is in use, too."""
    add(server_store, b"x")
    assert gomail_command("store", "copy", "--to", target).exit_code == 0
    with closing(SQLiteStore(target)) as store:
        store.statistics()
        result = gomail_command("store", "copy", "--to", target)
    assert result.exit_code == 1
    assert result.output.strip() == (
        f"The store in {target} can't be used: The target is in use: a server may only be started"
        " there after the last run"
    )


def test_a_store_is_no_target_of_its_own(
    server_store: SQLiteStore, gomail_command: Run, data_dir: Path
) -> None:
    """It is said that the target is the store itself."""
    add(server_store, b"x")
    server_store.close()
    result = gomail_command("store", "copy", "--to", data_dir)
    assert result.exit_code == 1
    assert "The target is the store itself" in result.output


def test_nothing_is_made_where_there_is_nothing_to_copy(
    gomail_command: Run, data_dir: Path, target: Path
) -> None:
    """A wrong data_dir is said; neither it nor the target is created."""
    result = gomail_command("store", "copy", "--to", target)
    assert (result.exit_code, result.output) == (1, f"Nothing is stored in {data_dir} yet.\n")
    assert not target.parent.exists()


def test_a_system_directory_is_refused(server_store: SQLiteStore, gomail_command: Run) -> None:
    """As it is in the configuration."""
    add(server_store, b"x")
    result = gomail_command("store", "copy", "--to", "/etc")
    assert result.exit_code == 2
    assert "--to" in result.output


def test_the_help_says_when_servers_may_start(gomail_command: Run) -> None:
    """That the source may go on, and that the target has to wait for the last run."""
    shown = " ".join(gomail_command("store", "copy", "--help").stdout.split())
    assert "go on receiving" in shown
    assert "only after that last run" in shown


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://gomail:sesame@127.0.0.1:1/gomail", 1),
        ("postgresql://gomail:ses/sesame@127.0.0.1/gomail", 2),
        ("mysql://gomail:sesame@127.0.0.1/gomail", 2),
    ],
)
def test_a_password_is_never_shown(
    server_store: SQLiteStore, gomail_command: Run, url: str, code: int
) -> None:
    """Neither of a database that can't be reached nor of a URL that isn't one."""
    add(server_store, b"x")
    result = gomail_command("store", "copy", "--to", url)
    assert result.exit_code == code
    assert result.output.strip()
    assert "sesame" not in result.output
