import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.damage import (
    GARBAGE,
    OPENED,
    REFUSED,
    Damage,
    add_foreign_things,
    database_without_end,
    garbage_in_the_log,
    garbage_log,
    truncated_log,
)
from support.dirt import (
    LIVING,
    Outcome,
    assert_untouched,
    bound_by_modes,
    message,
    readable,
    restore,
    tree,
)
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

from app.errors import StorageUnavailable
from app.storage.sqlite.store import SQLiteStore

MESSAGES = 20
with_all_rounds = pytest.mark.skipif(rounds(False, True), reason="only with GOMAIL_ALL_ROUNDS=1")

Used = tuple[Path, dict[str, bytes]]


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    """Return a data directory that a killed server left, and its messages by id."""
    with Server(tmp_path_factory.mktemp("used"), workers=1) as server:
        server.start()
        stored = {}
        for number in range(MESSAGES):
            stored[server.deliver(message(number)).json()["message_id"]] = message(number)
        server.stop()  # now these are in gomail.db itself
        server.start()
        for number in range(MESSAGES, 2 * MESSAGES):
            stored[server.deliver(message(number)).json()["message_id"]] = message(number)
        server.kill()  # and these are in gomail.db-wal
        assert (server.data_dir / "gomail.db-wal").stat().st_size > 0
        yield server.data_dir, stored


@pytest.fixture
def dirty(used: Used, new_server: NewServer) -> Iterator[Server]:
    """Return a server that wasn't started yet, on a copy of that directory."""
    server = new_server(workers=1)
    shutil.copytree(used[0], server.data_dir, copy_function=shutil.copy2)
    yield server
    server.kill()  # what a stop does is tested elsewhere, and takes its time


def segment(data_dir: Path) -> Path:
    """Return the largest segment."""
    return max((data_dir / "segments").iterdir(), key=lambda path: path.stat().st_size)


def assert_serves(server: Server) -> None:
    """Check that a message is taken, and stored."""
    answer = server.deliver(message(100))
    assert answer.status == 200, answer.body
    assert readable(server)[answer.json()["message_id"]] == message(100)


@pytest.mark.promise("a start deletes nothing that the server did not make")
@pytest.mark.parametrize("damage", rounds(REFUSED, REFUSED[:2]))
def test_what_cannot_be_used_is_refused_and_left_alone(
    dirty: Server, used: Used, damage: Damage
) -> None:
    """One line, code 1, and not a byte is changed: put back what was lost, and all mail is there.

    Above all no new database beside the old segments: the next start would sweep them.
    """
    damage(dirty.data_dir)
    before = tree(dirty.data_dir)
    assert Outcome(dirty).refusal
    # What is still a database is brought up to date, from its log, by whoever opens it.
    assert_untouched(
        before, tree(dirty.data_dir), ours=LIVING if damage in OPENED else {"migrate.lock"}
    )
    restore(used[0], dirty.data_dir)
    assert readable(dirty) == used[1]


@pytest.mark.promise("what can still be read after damage is served")
@pytest.mark.parametrize(
    "damage", rounds([truncated_log, garbage_log, garbage_in_the_log], [truncated_log])
)
def test_a_damaged_log_costs_only_what_was_in_it(dirty: Server, used: Used, damage: Damage) -> None:
    """A start refuses, since acknowledged mail is missing; told to go on, it serves the rest.

    SQLite takes the whole commits before the damage: what it has, can be read as it was sent. The
    bytes of what it lacks are kept.
    """
    damage(dirty.data_dir)
    refusal = Outcome(dirty).refusal
    assert refusal is not None
    assert "gomail.db is older than segments/" in refusal
    (dirty.data_dir / "commit.lock").unlink()
    assert Outcome(dirty).refusal is None
    found = readable(dirty)
    assert found.items() <= used[1].items()
    assert len(found) >= MESSAGES
    leftovers = (dirty.data_dir / "segments" / "leftovers").iterdir()
    kept = b"".join(path.read_bytes() for path in leftovers)
    assert all(raw in kept for name, raw in used[1].items() if name not in found)
    assert_serves(dirty)


@with_all_rounds
def test_a_database_without_its_end_never_makes_up_a_message(dirty: Server, used: Used) -> None:
    """The server refuses or serves; either way the segments of what was stored stay."""
    database_without_end(dirty.data_dir)
    before = tree(dirty.data_dir)
    Outcome(dirty)
    assert_untouched(before, tree(dirty.data_dir))
    dirty.kill()
    restore(used[0], dirty.data_dir)
    assert readable(dirty) == used[1]


@pytest.mark.promise("a start deletes nothing that the server did not make")
def test_foreign_files_are_left_alone(dirty: Server, used: Used) -> None:
    """Files, directories, links, pipes and open modes: the server starts, stops, and keeps all."""
    add_foreign_things(dirty.data_dir)
    before = tree(dirty.data_dir)
    for _ in range(rounds(2, 1)):
        assert Outcome(dirty).refusal is None
        assert readable(dirty).items() >= used[1].items()
        assert_serves(dirty)
        dirty.stop()
        grown = {path for path in before if path.endswith(".segment")}
        assert grown <= tree(dirty.data_dir).keys()
        assert_untouched(before, tree(dirty.data_dir))


LINKED = ["segments", "gomail.db", "token", "."]


@with_all_rounds
@pytest.mark.parametrize("name", LINKED)
def test_a_link_to_what_was_moved_is_followed(
    dirty: Server, used: Used, name: str, tmp_path: Path
) -> None:
    """An operator may put it on another disk: all mail is there, and the link stays one."""
    moved, linked = tmp_path / "moved", dirty.data_dir / name
    if name == "gomail.db":  # its log goes along
        moved.mkdir()
        for path in dirty.data_dir.glob("gomail.db*"):
            path.rename(moved / path.name)
        linked.symlink_to(moved / name)
    else:
        linked.rename(moved)
        linked.symlink_to(moved)
    assert Outcome(dirty).refusal is None
    assert readable(dirty) == used[1]
    assert_serves(dirty)
    assert linked.is_symlink()


@with_all_rounds
def test_a_segment_that_is_a_link_is_not_read(dirty: Server, used: Used, tmp_path: Path) -> None:
    """Its messages can't be read; the others can, and what it points to stays as it is."""
    linked = segment(dirty.data_dir)
    linked.rename(tmp_path / "moved")
    linked.symlink_to(tmp_path / "moved")
    before = tree(tmp_path)
    assert Outcome(dirty).refusal is None
    with closing(SQLiteStore(dirty.data_dir)) as store:
        failed = {name for name in used[1] if not is_readable(store, name, used[1][name])}
    assert 0 < len(failed) < len(used[1])
    shown = dirty.gomail("messages", "show", failed.pop())
    assert shown.returncode == 1
    assert len(shown.stderr.splitlines()) == 1
    assert tree(tmp_path)["moved"] == before["moved"]


def is_readable(store: SQLiteStore, message_id: str, raw: bytes) -> bool:
    """Tell whether the message can be read; if so it is the one that was sent."""
    try:
        return store.read(message_id) == raw
    except StorageUnavailable:
        return False


@contextmanager
def mode(path: Path, bits: int) -> Iterator[None]:
    """Give `path` the mode `bits` for a while."""
    before = path.stat().st_mode
    path.chmod(bits)
    yield
    path.chmod(before)


WRONG_MODES = [
    ("gomail.db", 0o444),
    (".", 0o000),
    ("gomail.db", 0o000),
    ("gomail.db-wal", 0o000),
    ("segments", 0o000),
    ("segments", 0o555),
    ("token", 0o000),
    (".", 0o555),
    ("migrate.lock", 0o000),
]


@pytest.mark.promise("a start that could store nothing is refused in one line")
@pytest.mark.parametrize(("name", "bits"), rounds(WRONG_MODES, WRONG_MODES[:1]))
def test_what_may_not_be_used_is_refused(dirty: Server, used: Used, name: str, bits: int) -> None:
    """Modes that keep the server out are said in one line; set right, all is as it was."""
    before = tree(dirty.data_dir)
    with mode(dirty.data_dir / name, bits):
        assert Outcome(dirty, bound_by_modes()).refusal
    assert_untouched(before, tree(dirty.data_dir))
    assert Outcome(dirty, bound_by_modes()).refusal is None
    assert readable(dirty) == used[1]


BROKEN_RECORDS = [
    b"",
    GARBAGE,
    b"[" * 100_000,
    b'{"graceful": {"count": 1e999, "seconds": 1e999, "buckets": []}, "forced": {}}',
]


@with_all_rounds
@pytest.mark.parametrize("content", BROKEN_RECORDS)
def test_a_damaged_record_of_shutdowns_counts_as_none(dirty: Server, content: bytes) -> None:
    """The server serves, tells its metrics, and the next stop is the first that counts."""
    (dirty.data_dir / "shutdowns.json").write_bytes(content)
    assert Outcome(dirty).refusal is None
    wait_for(dirty.metrics_pid)
    dirty.stop()
    dirty.start()
    assert dirty.scrape().value("shutdowns_total", type="graceful") == 1


@pytest.mark.promise("two servers on one directory store each message once")
def test_two_servers_on_one_directory_both_serve(
    dirty: Server, used: Used, new_server: NewServer
) -> None:
    """The second start sweeps, yet takes nothing from the first; each message is stored once."""
    first = dirty.start()
    begun = first.deliver(message(200)).json()["message_id"]
    second = new_server(workers=1, data_dir=first.data_dir)
    assert Outcome(second).refusal is None
    pairs = [(first, second), (second, first)] * 5
    for number, (one, other) in enumerate(pairs):
        receipt = one.deliver(message(300 + number), Idempotency_Key=f"key-{number}").json()
        again = other.deliver(message(300 + number), Idempotency_Key=f"key-{number}").json()
        assert (again["message_id"], again["duplicate"]) == (receipt["message_id"], True)
    first.kill()
    found = readable(second)
    assert found[begun] == message(200)
    assert len(found) == len(used[1]) + 1 + len(pairs)
