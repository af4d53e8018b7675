import re
import resource
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager

import pytest
from support.deleter import Deleter
from support.failing_calls import FailingCalls, database_files, failing_calls
from support.known_mail import Mail, standing_still
from support.records import recorded_messages
from support.rounds import rounds
from support.server import Answer, NewServer, Server, wait_for

from app.errors import MessageNotFound
from app.state.lock_file import locked
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.promise(
    "what cannot be stored is answered 503, said by /health, and healed without a restart"
)

SMALL, LARGE = 20_000, 2_000_000  # below and above what gets a segment of its own
MOST_CALLS = 30  # more than any delivery makes of one kind
DATABASE = "database"  # only calls that are about its files
FAULTS = [
    ("fdatasync", "EIO", None),
    ("fsync", "EIO", None),
    ("writev", "ENOSPC", None),
    ("writev", "EDQUOT", None),
    ("pwrite64", "ENOSPC", DATABASE),
    ("pwrite64", "EDQUOT", DATABASE),
    ("pread64", "EIO", DATABASE),
    ("openat", "EMFILE", None),
]
MAY_BE_CACHED = {("pread64", "EIO", DATABASE)}  # SQLite reads only what it doesn't have in memory
ONLY_WITH_NEW_FILES = {("fsync", "EIO", None), ("openat", "EMFILE", None)}


@pytest.fixture(scope="module")
def mail(shared_server: Server) -> Iterator[Mail]:
    """Return the messages to a server that all tests of this module share.

    Nobody but this process has the turn to make checkpoints: of the calls that fail here each is
    one of a delivery.
    """
    with locked(shared_server.data_dir / "checkpoint.lock"):
        yield Mail(shared_server)


def failing(
    mail: Mail, rules: Sequence[str], where: str | None = None
) -> AbstractContextManager[FailingCalls]:
    """Return the context in which `rules` hold for all workers."""
    paths = database_files(mail.server.data_dir) if where == DATABASE else ()
    return failing_calls(mail.server.worker_pids(), rules, mail.log, paths)


def with_open_segments(mail: Mail) -> None:
    """Let every worker append to a segment that it has."""
    mail.deliver_to_each_worker(SMALL)


def with_new_segments(mail: Mail) -> None:
    """Let every worker begin a new segment with the next message: this is what a fault leaves."""
    mail.deliver_to_each_worker(SMALL)
    workers = mail.server.worker_pids()
    with failing(mail, ["fdatasync:error=EIO"]):
        for worker in workers:
            with standing_still(set(workers) - {worker}):
                assert_refused(*mail.send(SMALL))


def assert_refused(queue_id: str, answer: Answer) -> None:
    """Check that the answer says that nothing was stored, and nothing else."""
    assert answer.status == 503, (queue_id, answer.body)
    assert answer.json()["code"] == "storage_unavailable"
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0


def is_sync_that_sqlite_ignores(mail: Mail, hits: Sequence[str]) -> bool:
    """Tell whether `hits` is SQLite's attempt to sync the directory, of which it says nothing.

    GoMail has done so before with an fsync, which is one of the calls that fail here as well.
    """
    directory = re.escape(str(mail.server.data_dir))
    attempt = rf'fdatasync\(\d+<{directory}>\)|openat\([^"]*"{directory}", O_RDONLY\|O_CLOEXEC\)'
    return len(hits) == 1 and re.search(attempt, hits[0]) is not None


def send_while_one_call_fails(mail: Mail, rule: str, where: str | None, size: int) -> bool:
    """Deliver while `rule` holds; return whether that has hit anything."""
    with failing(mail, [rule], where) as calls:
        queue_id, answer = mail.send(size)
    if not calls.hits():
        assert answer.status == 200, answer.body
        return False
    if answer.status == 200 and is_sync_that_sqlite_ignores(mail, calls.hits()):
        return True
    assert_refused(queue_id, answer)
    mail.assert_only_acknowledged_are_visible()
    return True


CASES = [
    pytest.param(SMALL, with_open_segments, id="small"),
    pytest.param(SMALL, with_new_segments, id="small-new-segment"),
    pytest.param(LARGE, with_open_segments, id="large"),
]


@pytest.mark.parametrize(("size", "prepare"), CASES)
@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_whichever_call_fails_nothing_is_acknowledged(
    mail: Mail, fault: tuple[str, str, str | None], size: int, prepare: Callable[[Mail], None]
) -> None:
    """Each call of one kind that a delivery makes fails in turn: 503, and nothing is visible.

    The next message to each worker is stored, by the same processes.
    """
    workers, (call, error, where) = mail.server.worker_pids(), fault
    for number in range(1, rounds(MOST_CALLS, 3)):
        prepare(mail)
        rule = f"{call}:error={error}:when={number}"
        was_hit = send_while_one_call_fails(mail, rule, where, size)
        if not was_hit:
            break
        mail.deliver_to_each_worker(size)
    assert not was_hit or rounds(False, True), "a delivery makes more calls than are tried"
    makes_files = size == LARGE or prepare is with_new_segments
    may_miss = MAY_BE_CACHED if makes_files else MAY_BE_CACHED | ONLY_WITH_NEW_FILES
    assert number > 1 or fault in may_miss, "nothing was hit"
    mail.assert_all_is_whole()
    assert mail.server.worker_pids() == workers


def test_an_answer_needs_no_sync_of_the_database(new_server: NewServer) -> None:
    """Syncs of its files fail, then the server is killed: what was answered 200 is there.

    Nobody makes checkpoints: SQLite begins its log anew after one, and syncs the header of that.
    """
    mail = Mail(new_server(workers=1).start())
    with locked(mail.server.data_dir / "checkpoint.lock"):
        mail.deliver_to_each_worker(SMALL)
        with failing(mail, ["fdatasync:error=EIO"], DATABASE):
            answers = [mail.send(size)[1].status for size in (SMALL, LARGE, SMALL, SMALL)]
            mail.assert_only_acknowledged_are_visible()
            mail.server.kill()
    assert answers == [200] * len(answers)
    mail.server.start()
    mail.assert_all_is_whole()


DELETION_FAULTS = [
    ("fallocate", "EIO", None),
    ("writev", "ENOSPC", None),
    ("fdatasync", "EIO", None),
    ("pwrite64", "ENOSPC", DATABASE),
    ("pread64", "EIO", DATABASE),
    ("openat", "EMFILE", None),
    ("fallocate", "ENOSPC", None),
    ("fallocate", "EOPNOTSUPP", None),
    ("unlink", "EIO", None),
    ("ftruncate", "EIO", None),
]

ONLY_SOME = {"unlink", "ftruncate", "fallocate"}  # depends on the size


def delete_while_one_call_fails(
    mail: Mail, deleter: Deleter, rule: str, where: str | None, size: int
) -> bool:
    """Deliver a message and delete it while `rule` holds; return whether that has hit anything.

    Until it is done the message is there, whole, or not at all.
    """
    queue_id, answer = mail.send(size)
    message_id = answer.json()["message_id"]
    pid = wait_for(deleter.pid)
    paths = database_files(mail.server.data_dir) if where == DATABASE else ()
    with failing_calls([pid], [rule], mail.log, paths) as calls:
        is_done = deleter.delete([message_id])
    assert is_done or calls.hits()
    with closing(SQLiteStore(mail.server.data_dir)) as store:
        try:
            assert store.read(message_id) == mail.stored[queue_id]
            assert not is_done
        except MessageNotFound:
            pass
    assert deleter.delete([message_id])  # to delete again ends what was begun
    del mail.stored[queue_id]
    mail.assert_only_acknowledged_are_visible()
    assert deleter.pid() == pid
    return bool(calls.hits())


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["small", "large"])
@pytest.mark.parametrize("fault", rounds(DELETION_FAULTS, DELETION_FAULTS[:4]), ids=str)
def test_whichever_call_fails_a_deletion_can_be_asked_for_again(
    new_server: NewServer, fault: tuple[str, str, str | None], size: int
) -> None:
    """Each call of one kind that a deletion makes fails in turn: then all of it is erased.

    Others are whole, and nothing comes back with an index that is made anew.
    """
    mail, (call, error, where) = Mail(new_server(workers=1).start()), fault
    data_dir = mail.server.data_dir
    deleter = Deleter(data_dir, erases_every=1)
    try:
        for number in range(1, rounds(MOST_CALLS, 3)):
            mail.send(SMALL)  # this one stays
            queue_id, answer = mail.send(SMALL)
            assert deleter.delete([answer.json()["message_id"]])
            del mail.stored[queue_id]
            rule = f"{call}:error={error}:when={number}"
            if not delete_while_one_call_fails(mail, deleter, rule, where, size):
                break
    finally:
        deleter.kill()
    assert number > 1 or call in ONLY_SOME, "nothing was hit"
    mail.assert_all_is_whole()
    mail.server.stop()
    for path in data_dir.glob("gomail.db*"):
        path.unlink()
    mail.server.start()
    mail.assert_all_is_whole()
    assert len(recorded_messages(data_dir)) == len(mail.stored)


def test_the_name_of_the_write_ahead_log_is_synced_too(mail: Mail) -> None:
    """SQLite ignores that the directory can't be synced: GoMail doesn't, and answers 503."""
    with_new_segments(mail)
    workers, rules = mail.server.worker_pids(), ["fsync:error=EIO", "fdatasync:error=EIO"]
    with failing_calls(workers, rules, mail.log, [mail.server.data_dir]) as calls:
        assert_refused(*mail.send(SMALL))
    assert calls.hits()
    mail.assert_only_acknowledged_are_visible()
    mail.deliver_to_each_worker(SMALL)


def test_a_tail_that_cannot_be_cut_off_stays_invisible(mail: Mail) -> None:
    """The disk refuses bytes, and then the truncation as well: 503, and the next one is stored."""
    with_open_segments(mail)
    with failing(mail, ["fdatasync:error=EIO:when=1", "ftruncate:error=EIO"]) as calls:
        assert_refused(*mail.send(SMALL))
    assert len(calls.hits()) == 2
    mail.assert_only_acknowledged_are_visible()
    mail.deliver_to_each_worker(SMALL)
    mail.assert_all_is_whole()


def test_no_file_can_be_opened_for_a_while(mail: Mail) -> None:
    """All opens fail, as when the limit of a process is reached; then all is well again."""
    with_new_segments(mail)
    with failing(mail, ["openat:error=EMFILE"]):
        for size in (SMALL, LARGE, SMALL):
            assert_refused(*mail.send(size))
        mail.assert_only_acknowledged_are_visible()
    mail.deliver_to_each_worker(SMALL)
    mail.deliver_to_each_worker(LARGE)
    mail.assert_all_is_whole()


@contextmanager
def file_size_limit(pid: int, size: int) -> Iterator[None]:
    """Let the process `pid` write no file beyond `size`: the last write is a short one."""
    before = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_FSIZE, before)


def segment_sizes(server: Server) -> list[int]:
    """Return the size of each segment."""
    return [path.stat().st_size for path in (server.data_dir / "segments").iterdir()]


@pytest.fixture
def one_worker(new_server: NewServer) -> Mail:
    """Return the messages to a server with one worker, whose files are few and short."""
    mail = Mail(new_server(workers=1).start())
    mail.deliver_to_each_worker(LARGE // 2)
    return mail


# Sizes that no other file of the server comes near.
SHORT = [
    pytest.param(SMALL, LARGE // 2 + 10_000, id="small"),
    pytest.param(LARGE, 1_500_000, id="large"),
]


@pytest.mark.parametrize(("size", "limit"), SHORT[: rounds(2, 1)])
def test_a_short_write_before_a_failing_one_leaves_nothing(
    one_worker: Mail, size: int, limit: int
) -> None:
    """Part of the message is written, the rest isn't: 503, and it is gone from the files too."""
    server = one_worker.server
    before = segment_sizes(server)
    [pid] = server.worker_pids()
    with file_size_limit(pid, limit):
        assert_refused(*one_worker.send(size))
    assert segment_sizes(server) == before
    one_worker.assert_only_acknowledged_are_visible()
    one_worker.deliver_to_each_worker(size)
    one_worker.assert_all_is_whole()


@pytest.mark.parametrize(("size", "limit"), SHORT[: rounds(2, 1)])
def test_a_short_write_is_continued(one_worker: Mail, size: int, limit: int) -> None:
    """The kernel takes a part first, and the rest when asked again: stored byte by byte."""
    [pid] = one_worker.server.worker_pids()
    # The call returns late, so that the limit is gone before the next one.
    slow = "writev:delay_exit=300000"
    with failing(one_worker, [slow]), ThreadPoolExecutor(1) as pool:
        with file_size_limit(pid, limit):
            delivery = pool.submit(one_worker.send, size)
            wait_for(lambda: limit in segment_sizes(one_worker.server))
        _, answer = delivery.result()
    assert answer.status == 200, answer.body
    one_worker.assert_all_is_whole()
