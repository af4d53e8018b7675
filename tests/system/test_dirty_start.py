import os
import random
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from support.damage import (
    GARBAGE,
    HEALED,
    LINKED,
    OPENED,
    REFUSED,
    Damage,
    add_foreign_things,
    missing_database_and_log,
    missing_log,
)
from support.deleter import Deleter
from support.dirt import (
    LIVING,
    Outcome,
    Tree,
    Used,
    assert_untouched,
    bound_by_modes,
    message,
    readable,
    restore,
    tree,
)
from support.plain_mail import plain_mail
from support.records import parts
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

from app.errors import GoMailError
from app.storage.segments.record import MessageRecord
from app.storage.segments.segment_reader import Record
from app.storage.sqlite.store import SQLiteStore

MESSAGES = 20
with_all_rounds = pytest.mark.skipif(rounds(False, True), reason="only with GOMAIL_ALL_ROUNDS=1")


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Used]:
    """Return what a killed server left, of whose messages some are deleted, and some erased."""
    with Server(tmp_path_factory.mktemp("used"), workers=1) as server:
        server.start()
        stored = {}
        for number in range(MESSAGES):
            stored[server.deliver(message(number)).json()["message_id"]] = message(number)
        server.stop()  # now these are in gomail.db itself
        older = (server.data_dir / "gomail.db").read_bytes()
        server.start()
        large = plain_mail("large", bytes(2_000_000))
        stored[server.deliver(large).json()["message_id"]] = large
        for number in range(MESSAGES, 2 * MESSAGES):
            stored[server.deliver(message(number)).json()["message_id"]] = message(number)
        deleter, ids = Deleter(server.data_dir), list(stored)
        for some in (ids[3:6], ids[10:12] + ids[-3:]):  # of the second nothing is erased
            assert deleter.delete(some)
        server.kill()  # and these are in gomail.db-wal
        deleter.kill()
        assert (server.data_dir / "gomail.db-wal").stat().st_size > 30_000
        living = {name: raw for name, raw in stored.items() if name not in deleter.confirmed}
        newer = (server.data_dir / "gomail.db").read_bytes()
        yield Used(server.data_dir, living, older, newer)


@pytest.fixture
def dirty(used: Used, new_server: NewServer) -> Iterator[Server]:
    """Return a server that wasn't started yet, on a directory like that."""
    server = new_server(workers=1)
    used.lay_out(server.data_dir)
    yield server
    server.kill()  # what a stop does is tested elsewhere, and takes its time


def segment(data_dir: Path) -> Path:
    """Return the largest segment that isn't a single message."""
    small = [
        path
        for path in (data_dir / "segments").glob("*.records")
        if path.stat().st_size < 1_000_000
    ]
    return max(small, key=lambda path: path.stat().st_size)


def assert_serves(server: Server) -> None:
    """Check that a message is taken, and stored."""
    answer = server.deliver(message(100))
    assert answer.status == 200, answer.body
    assert readable(server)[answer.json()["message_id"]] == message(100)


def put_older_back(used: Used, data_dir: Path) -> None:
    """Write the older database over the newer one, and leave the newer one's log beside it."""
    (data_dir / "gomail.db").write_bytes(used.older)


def put_older_back_alone(used: Used, data_dir: Path) -> None:
    """Write the older database over the newer one, and remove the log."""
    put_older_back(used, data_dir)
    missing_log(data_dir)


def put_copy_back(used: Used, data_dir: Path) -> None:
    """Put a copy of the newer database in its place, without its log."""
    missing_database_and_log(data_dir)
    (data_dir / "gomail.db").write_bytes(used.newer)


PUT_BACK = [put_older_back, put_older_back_alone, put_copy_back]


@pytest.mark.promise("a start makes a lost or damaged database anew, and loses no message")
@pytest.mark.parametrize("damage", rounds(HEALED, HEALED[:3]))
def test_a_damaged_database_costs_nothing(dirty: Server, used: Used, damage: Damage) -> None:
    """Whatever has become of it and its log: all mail is there, and nothing that was deleted."""
    damage(dirty.data_dir)
    assert Outcome(dirty).refusal is None
    assert readable(dirty) == used.stored
    assert_serves(dirty)


@pytest.mark.promise("a start makes a lost or damaged database anew, and loses no message")
@pytest.mark.parametrize("put_back", PUT_BACK)
def test_an_older_database_costs_nothing(
    dirty: Server, used: Used, put_back: Callable[[Used, Path], None]
) -> None:
    """The start completes it: what came later is there, what was deleted later isn't."""
    put_back(used, dirty.data_dir)
    assert Outcome(dirty).refusal is None
    assert readable(dirty) == used.stored
    assert_serves(dirty)


@pytest.mark.parametrize("seed", range(rounds(5, 2)))
def test_any_mixture_of_damages_costs_nothing(dirty: Server, used: Used, seed: int) -> None:
    """Some of them one after the other, before one start and before the next."""
    dice = random.Random(seed)
    for _ in range(2):
        for damage in dice.sample([each for each in HEALED if each not in LINKED], 3):
            with suppress(OSError, ValueError):  # there is no such file any more
                damage(dirty.data_dir)
        assert Outcome(dirty).refusal is None
        assert readable(dirty) == used.stored
        dirty.kill()


@pytest.mark.promise("a start deletes nothing that the server did not make")
@pytest.mark.parametrize("damage", rounds(REFUSED, REFUSED[:2]))
def test_what_cannot_be_used_is_refused_and_left_alone(
    dirty: Server, used: Used, damage: Damage
) -> None:
    """One line, code 1, and not a byte is changed; put back what was lost, and all is there."""
    damage(dirty.data_dir)
    before = tree(dirty.data_dir)
    assert Outcome(dirty).refusal
    # What is still a database is brought up to date, from its log, by whoever opens it.
    ours = {*LIVING, *segments_in(before)} if damage in OPENED else {"migrate.lock"}
    assert_untouched(before, tree(dirty.data_dir), ours)
    restore(used, dirty.data_dir)
    assert Outcome(dirty).refusal is None
    assert readable(dirty) == used.stored


def segments_in(found: Tree) -> set[str]:
    """Return the segments, in which a start erases what was deleted."""
    return {path for path in found if re.fullmatch(r"segments/[0-9a-f]{32}\.records", path)}


@pytest.mark.promise("what can still be read after damage is served")
@pytest.mark.parametrize("is_known", [True, False])
def test_a_damaged_segment_costs_only_what_is_damaged(
    dirty: Server, used: Used, is_known: bool
) -> None:
    """With its database and without: the others are served, and the damaged ones named."""
    path = segment(dirty.data_dir)
    whole = [
        (part, part.entry.message.message_id)
        for part in parts(path)
        if isinstance(part, Record) and isinstance(part.entry, MessageRecord)
    ]
    (content, content_id), (description, description_id) = whole[2], whole[5]
    with path.open("r+b") as file:
        for at in (content.content_start + 9, description.content_start - 9):
            file.seek(at)
            file.write(b"#########")
        file.seek(0, os.SEEK_END)
        file.write(GARBAGE)
    if not is_known:
        missing_database_and_log(dirty.data_dir)
    assert Outcome(dirty).refusal is None
    lost = {content_id} if is_known else {content_id, description_id}
    with closing(SQLiteStore(dirty.data_dir)) as store:
        unreadable = {
            name for name, raw in used.stored.items() if not is_readable(store, name, raw)
        }
    assert unreadable == lost
    said = "".join(line["message"] for line in dirty.log())
    verified = dirty.gomail("messages", "verify").stdout.decode()
    assert content_id in verified
    assert "bytes in segments/ are no record" in said
    assert ("is damaged from byte" in said) == (not is_known)
    assert dirty.deliver(message(100)).status == 200


@pytest.mark.promise("a start deletes nothing that the server did not make")
def test_foreign_files_are_left_alone(dirty: Server, used: Used) -> None:
    """Files, directories, links, pipes and open modes: the server starts, stops, and keeps all."""
    add_foreign_things(dirty.data_dir)
    before = tree(dirty.data_dir)
    for _ in range(rounds(2, 1)):
        assert Outcome(dirty).refusal is None
        assert readable(dirty).items() >= used.stored.items()
        assert_serves(dirty)
        dirty.stop()
        assert_untouched(before, tree(dirty.data_dir), {*LIVING, *segments_in(before)})


MOVED = ["segments", "gomail.db", "token", "."]


@with_all_rounds
@pytest.mark.parametrize("name", MOVED)
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
    assert readable(dirty) == used.stored
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
        failed = {name for name in used.stored if not is_readable(store, name, used.stored[name])}
    assert 0 < len(failed) < len(used.stored)
    shown = dirty.gomail("messages", "show", failed.pop())
    assert shown.returncode == 1
    assert len(shown.stderr.splitlines()) == 1
    assert tree(tmp_path)["moved"] == before["moved"]


def is_readable(store: SQLiteStore, message_id: str, raw: bytes) -> bool:
    """Tell whether the message can be read; if so it is the one that was sent."""
    try:
        return store.read(message_id) == raw
    except GoMailError:
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
    assert_untouched(before, tree(dirty.data_dir), {*LIVING, *segments_in(before)})
    assert Outcome(dirty, bound_by_modes()).refusal is None
    assert readable(dirty) == used.stored


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
    assert len(found) == len(used.stored) + 1 + len(pairs)
