import logging
import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from support.clock import Clock
from support.server import wait_for

from app.state.lock_file import locked
from app.storage.sqlite import checkpoint
from app.storage.sqlite.checkpoint import Checkpoints
from app.storage.sqlite.database import connect, create_database
from app.storage.sqlite.generation import generation_in, noted_generation

STARTS = 10
SECONDS = 30  # nothing takes that long unless it hangs


@pytest.fixture
def database(tmp_path: Path) -> Path:
    create_database(tmp_path / "gomail.db")
    engine = connect(tmp_path / "gomail.db")
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE page (bytes BLOB)"))
    engine.dispose()
    return tmp_path / "gomail.db"


@pytest.fixture
def engine(database: Path) -> Iterator[Engine]:
    engine = connect(database, busy_timeout_seconds=0.05)
    yield engine
    engine.dispose()


def new_checkpoints(
    engine: Engine, directory: Path, clock: Callable[[], float] = time.time
) -> Checkpoints:
    """Return those of one process."""
    return Checkpoints(
        engine,
        directory / "commit.lock",
        directory / "checkpoint.lock",
        directory / "generation",
        clock,
    )


@pytest.fixture
def checkpoints(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Checkpoints]:
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.01)
    monkeypatch.setattr(checkpoint, "LONG_LOG_PAGES", 20)
    checkpoints = new_checkpoints(engine, tmp_path)
    yield checkpoints
    checkpoints.close()


@pytest.fixture
def writing(database: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    yield connection
    connection.close()


def commit(writing: sqlite3.Connection, raw: bytes = b"x" * 3000) -> None:
    with writing:
        writing.execute("INSERT INTO page VALUES (?)", (raw,))


def ours() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "checkpoints"]


def test_what_was_committed_is_moved(
    checkpoints: Checkpoints, writing: sqlite3.Connection, database: Path
) -> None:
    """After each note the database's own file gets the bytes, without another commit."""
    for raw in (b"first commit", b"second commit"):
        commit(writing, raw)
        assert raw not in database.read_bytes()
        checkpoints.note_commit()
        wait_for(lambda raw=raw: raw in database.read_bytes())  # type: ignore[misc]


def test_the_log_begins_anew_under_writers_that_never_pause(
    checkpoints: Checkpoints, writing: sqlite3.Connection, database: Path, tmp_path: Path
) -> None:
    """A passive checkpoint alone wouldn't do: it is never through before the next commit."""
    writing.execute("PRAGMA synchronous=OFF")  # so that commits are faster than any checkpoint
    starts_anew: set[bytes] = set()
    with database.with_name("gomail.db-wal").open("rb", buffering=0) as log:
        end = time.monotonic() + SECONDS
        while len(starts_anew) < STARTS and time.monotonic() < end:
            with locked(tmp_path / "commit.lock"):
                commit(writing)
            checkpoints.note_commit()
            starts_anew.add(os.pread(log.fileno(), 8, 16))  # the salts, new at each start
    assert len(starts_anew) == STARTS


def test_a_reader_does_not_hold_writers_up(
    checkpoints: Checkpoints, writing: sqlite3.Connection, database: Path, tmp_path: Path
) -> None:
    """The log can't begin anew while a snapshot is read; the lock is given back soon each time."""
    reader = sqlite3.connect(database)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM page").fetchone()
    waits = []
    for _ in range(100):
        began = time.monotonic()
        with locked(tmp_path / "commit.lock"):
            waits.append(time.monotonic() - began)
            commit(writing)
        checkpoints.note_commit()
    assert database.with_name("gomail.db-wal").stat().st_size > 100 * 3000
    assert max(waits) < 5  # the busy timeout is 0.05; the rest is for a busy machine
    reader.close()


def attempts_in_turn(processes: list[Checkpoints]) -> list[bool]:
    """Let each process try once, as its thread does; return which of them did it."""
    return [each._checkpoint_in_turn() for each in processes]


def test_of_all_processes_one_makes_writers_wait(
    engine: Engine,
    writing: sqlite3.Connection,
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a long reader and a long log, however many share them, once within a second.

    The others have their turn later, also if that one has ended, and if the clock was set back.
    """
    monkeypatch.setattr(checkpoint, "LONG_LOG_PAGES", 20)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    clock = Clock(1_700_000_000.0)
    processes = [new_checkpoints(engine, tmp_path, clock) for _ in range(4)]
    (tmp_path / "checkpoint.lock").touch()
    os.utime(tmp_path / "checkpoint.lock", (0, 0))
    reader = sqlite3.connect(database)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM page").fetchone()
    for _ in range(30):
        commit(writing)
    for seconds in (0, 0.4, 0.4):
        clock.now += seconds
        attempts = attempts_in_turn(processes)
        assert attempts == ([True, False, False, False] if seconds == 0 else [False] * 4)
    assert [each for each in statements if "RESTART" in each] == ["PRAGMA wal_checkpoint(RESTART)"]
    clock.now += 0.4
    assert attempts_in_turn(processes[1:]) == [True, False, False]
    clock.now -= 3600
    assert attempts_in_turn(processes) == [True, False, False, False]
    with locked(tmp_path / "checkpoint.lock"):  # as another process that is at it
        clock.now += 10
        assert attempts_in_turn(processes) == [False] * 4
    reader.close()
    for each in processes:
        each.close()


def test_who_came_too_soon_tries_again(
    checkpoints: Checkpoints,
    writing: sqlite3.Connection,
    database: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was committed during another process's turn is moved without another commit."""
    attempts: list[bool] = []
    attempt = checkpoints._checkpoint_in_turn

    def recorded() -> bool:
        attempts.append(attempt())
        return attempts[-1]

    monkeypatch.setattr(checkpoints, "_checkpoint_in_turn", recorded)
    with locked(tmp_path / "checkpoint.lock"):
        commit(writing, b"committed in between")
        checkpoints.note_commit()
        wait_for(lambda: attempts)
        assert not any(attempts)
        assert b"committed in between" not in database.read_bytes()
    wait_for(lambda: b"committed in between" in database.read_bytes())


def test_closing_ends_the_thread(checkpoints: Checkpoints, writing: sqlite3.Connection) -> None:
    """Whether it waits for a commit or had none; and none is there before the first commit."""
    assert ours() == []
    checkpoints.note_commit()
    assert len(ours()) == 1
    checkpoints.close()
    assert ours() == []


def test_closing_without_a_commit_is_possible(checkpoints: Checkpoints) -> None:
    """There is no thread to end."""
    checkpoints.close()
    assert ours() == []


def test_without_a_thread_commits_go_on(
    checkpoints: Checkpoints,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A machine that gives no thread fails no commit and no end, and the next commit tries."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        checkpoints.note_commit()
        checkpoints.note_commit()
    checkpoints.close()
    assert [each.message for each in caplog.records] == [
        "The write-ahead log can't be emptied: can't start new thread"
    ]
    checkpoints.note_commit()
    assert checkpoints._thread is not None


def test_a_failure_is_told_once_and_ends(
    checkpoints: Checkpoints,
    engine: Engine,
    database: Path,
    writing: sqlite3.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """While it lasts one warning is enough; each attempt opens anew, as a connection that was
    opened on a read-only file system stays read-only."""
    attempts = threading.Semaphore(0)

    def fail(*_arguments: object) -> None:
        attempts.release()
        raise OSError(28, "No space left on device")

    caplog.set_level(logging.WARNING)
    event.listen(engine, "connect", fail)
    for _ in range(3):
        checkpoints.note_commit()
        assert attempts.acquire(timeout=SECONDS)
    event.remove(engine, "connect", fail)

    commit(writing, b"moved after all")
    checkpoints.note_commit()
    wait_for(lambda: b"moved after all" in database.read_bytes())
    assert len(caplog.records) == 1


def test_a_failed_connection_is_not_used_again(
    checkpoints: Checkpoints, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was opened while nothing could be written would fail for ever."""
    opened, failed = threading.Semaphore(0), threading.Semaphore(0)

    def fail(*_arguments: object) -> None:
        failed.release()
        raise OSError(30, "Read-only file system")

    event.listen(engine, "connect", lambda *_: opened.release())
    event.listen(engine, "before_cursor_execute", fail)
    for _ in range(2):
        checkpoints.note_commit()
        assert failed.acquire(timeout=SECONDS)
        assert opened.acquire(timeout=SECONDS)


def test_two_first_commits_start_one_thread(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stored message and a deleted one may be the first at the same moment."""
    start = threading.Thread.start
    both = threading.Barrier(2)
    started = []

    def start_together(thread: threading.Thread) -> None:
        if thread.name == "checkpoints":
            with suppress(threading.BrokenBarrierError):
                both.wait(0.2)
            started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_together)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(checkpoints.note_commit)
    assert started == ours()
    assert len(started) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_died_is_replaced(
    checkpoints: Checkpoints, engine: Engine, database: Path, writing: sqlite3.Connection
) -> None:
    """As after a moment without memory: the next commit starts another one."""

    def fail(*_arguments: object) -> None:
        raise MemoryError

    event.listen(engine, "connect", fail)
    checkpoints.note_commit()
    wait_for(lambda: ours() == [])
    event.remove(engine, "connect", fail)
    commit(writing, b"moved after all")
    checkpoints.note_commit()
    wait_for(lambda: b"moved after all" in database.read_bytes())


HOLD_CHECKPOINT_LOCK = """
import fcntl, sys
with open(sys.argv[1], "rb+") as shared:
    fcntl.lockf(shared, fcntl.LOCK_EX, 1, 121)
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_that_another_keeps_from_running_notes_nothing(
    checkpoints: Checkpoints, writing: sqlite3.Connection, database: Path, tmp_path: Path
) -> None:
    """While an erasure moves the log itself: a kill would leave a database older than its note."""
    commit(writing)
    command = [sys.executable, "-c", HOLD_CHECKPOINT_LOCK, f"{database}-shm"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout
        assert other.stdout.readline() == b"held\n"
        checkpoints._checkpoint()
        assert noted_generation(tmp_path / "generation") == 0
        other.communicate()
    checkpoints._checkpoint()
    assert noted_generation(tmp_path / "generation") == generation_in(database.read_bytes())
