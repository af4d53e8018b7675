"""A kill -9 at each step of writing, deleting, erasing and making the index anew."""

import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.killed import Report, Work, killed_after, killed_at, steps_of
from support.rounds import rounds
from support.store import AT, add, files_with, start, stored

from app.settings import Storage
from app.storage.ids import new_message_id
from app.storage.message import Reason
from app.storage.preparation import leftovers
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES
from app.storage.sqlite.completion import Completed
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.rebuilding import identity, rebuild
from app.storage.sqlite.store import SQLiteStore

RAWS = {
    "small": b"small mail",
    "large": b"large mail" * (LARGE_MESSAGE_BYTES // 8),
    "last": b"last mail",
}
BEFORE = {f"before{number}": f"stored mail {number} ".encode() * 50 for number in range(6)}

pytestmark = pytest.mark.thorough


@pytest.fixture
def ids(data_dir: Path) -> dict[str, str]:
    """Return the ids of what a process has stored in `data_dir` before, by key."""

    def fill(report: Report) -> None:
        store = SQLiteStore(data_dir)
        report({key: add(store, raw, key) for key, raw in BEFORE.items()})

    create_store(data_dir).close()
    [ids] = killed_after(fill)
    shutil.copytree(data_dir, data_dir.with_name("original"))
    assert isinstance(ids, dict)
    return ids


def killed_at_each_step(
    data_dir: Path, work: Work, few: int = 8
) -> Iterator[tuple[list[Any], SQLiteStore]]:
    """Yield what `work` had reported when it was killed, and the store after the next start.

    Each time in the directory as it was before. The steps are spread over all that `work` has.
    """
    original = data_dir.with_name("original")

    def restore() -> None:
        shutil.rmtree(data_dir)
        shutil.copytree(original, data_dir)
        # Not a copy for GoMail: otherwise each start would make the index anew.
        with closing(sqlite3.connect(data_dir / "gomail.db")) as connection, connection:
            own = identity(data_dir / "gomail.db")
            connection.execute("UPDATE counter SET value = ? WHERE name = 'file'", [own])

    restore()
    total = steps_of(work)
    assert total > 50
    tried = 0
    for step in range(0, total, max(1, total // rounds(20, few))):
        restore()
        reports = killed_at(step, work)
        tried += 1
        with closing(start(data_dir)) as store:
            yield reports, store
        with closing(create_store(data_dir)) as store:
            assert store.complete() == Completed()
        assert leftovers(Storage(data_dir)) == []
    assert tried >= few


def test_while_messages_are_stored(data_dir: Path, ids: dict[str, str]) -> None:
    """What was acknowledged is there, all is whole, and what is sent again is there once."""

    def write(report: Report) -> None:
        store = SQLiteStore(data_dir)
        for key, raw in RAWS.items():
            report([key, add(store, raw, key)])

    before = {message_id: BEFORE[key] for key, message_id in ids.items()}
    for reports, store in killed_at_each_step(data_dir, write):
        found = stored(store)
        acknowledged = {message_id: RAWS[key] for key, message_id in reports}
        assert found.items() >= (before | acknowledged).items()
        assert sorted(found.values()) == sorted(
            {*found.values()} & {*BEFORE.values(), *RAWS.values()}
        )
        for key, raw in RAWS.items():
            message_id = add(store, raw, key)
            assert message_id == dict(reports).get(key, message_id)
        assert sorted(stored(store).values()) == sorted([*BEFORE.values(), *RAWS.values()])


def test_while_messages_are_deleted_and_erased(data_dir: Path, ids: dict[str, str]) -> None:
    """What was deleted never comes back, all of a request or nothing; then no file has it."""
    first, second = ["before0", "before1", "before3"], ["before5"]

    def delete(report: Report) -> None:
        store = SQLiteStore(data_dir)
        for keys in (first, second):
            store.remove([ids[key] for key in keys], Reason.REQUEST)
            report(keys)
        store.erase()

    seen = set()
    for reports, store in killed_at_each_step(data_dir, delete, 16):
        found = stored(store)
        assert found.items() <= {ids[key]: raw for key, raw in BEFORE.items()}.items()
        gone = sorted(key for key in BEFORE if ids[key] not in found)
        assert gone in ([], first, [*first, *second])
        assert {key for keys in reports for key in keys} <= set(gone)
        seen.add(len(gone))
        for key in gone:
            assert files_with(data_dir, BEFORE[key][:14]) == []
            assert add(store, b"again", key) == ids[key]
        assert store.statistics().deleted[Reason.REQUEST] == len(gone)
        assert store.statistics().messages == len(BEFORE) - len(gone)
    assert seen == {0, 3, 4}


def test_while_a_start_finishes_what_a_kill_has_left(data_dir: Path, ids: dict[str, str]) -> None:
    """A second kill, at any step of the start, changes nothing about it."""
    original = data_dir.with_name("original")
    gone = ["before0", "before1", "before3"]

    def leave(report: Report) -> None:
        store = SQLiteStore(data_dir)
        report(add(store, RAWS["small"], "small"))
        store.remove([ids[key] for key in gone], Reason.REQUEST)

    [new] = killed_after(leave)
    shutil.rmtree(original)
    shutil.copytree(data_dir, original)
    kept = {ids[key]: raw for key, raw in BEFORE.items() if key not in gone}

    def start_again(_report: Report) -> None:
        for path in data_dir.glob("gomail.db*"):
            path.unlink()
        start(data_dir)

    for _, store in killed_at_each_step(data_dir, start_again):
        assert stored(store) == kept | {new: RAWS["small"]}
        assert files_with(data_dir, b"stored mail 0") == []


@pytest.mark.parametrize("is_lost", [False, True])
def test_while_the_index_is_made_anew(data_dir: Path, ids: dict[str, str], is_lost: bool) -> None:
    """The old one or the new one is there, or the next start makes it: all is found."""

    def make_anew(_report: Report) -> None:
        if is_lost:
            (data_dir / "gomail.db").unlink()
        rebuild(data_dir)

    for _, store in killed_at_each_step(data_dir, make_anew):
        assert stored(store) == {ids[key]: raw for key, raw in BEFORE.items()}


def test_while_mail_is_erased_beside_others(data_dir: Path, ids: dict[str, str]) -> None:
    """While others keep the database open, its log stays: whoever erases next empties it."""

    def erase(_report: Report) -> None:
        SQLiteStore(data_dir).erase()

    def delete(_report: Report) -> None:
        store = SQLiteStore(data_dir)
        message_id = add(store, b"planted", new_message_id(AT), subject="planted subject")
        store.remove([message_id], Reason.REQUEST)

    killed_after(delete)
    total = steps_of(erase)
    with kept_open(data_dir / "gomail.db"):
        for step in range(0, total, max(1, total // rounds(30, 25))):
            killed_after(delete)
            assert killed_at(step, erase) == []
            with closing(SQLiteStore(data_dir)) as store:
                store.erase()
                assert files_with(data_dir, b"planted") == []
                assert len(stored(store)) == len(ids)


KEEP_OPEN = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1])
print(*connection.execute("SELECT count(*) FROM message").fetchone(), flush=True)
sys.stdin.read()
"""


@contextmanager
def kept_open(database: Path) -> Iterator[None]:
    """Let another process have the database open; here, the child would inherit its locks."""
    with subprocess.Popen(
        [sys.executable, "-c", KEEP_OPEN, database], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as keeper:
        assert keeper.stdin
        assert keeper.stdout
        assert int(keeper.stdout.readline()) > 0
        yield
        keeper.stdin.close()
