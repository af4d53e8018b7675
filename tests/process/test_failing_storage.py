import json
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from support.linux_process import kill_process
from support.outage import is_ready, is_reported_unhealthy
from support.plain_mail import plain_mail
from support.requirement import require, require_program, require_root
from support.server import NewServer, Server, wait_for
from support.small_disk import full

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

SMALL, LARGE = 20_000, 2_000_000  # below and above what gets a segment of its own
PROBLEM_MEMBERS = {"type", "title", "status", "detail", "code", "request_id"}


def message(number: int, size: int = SMALL) -> bytes:
    """Return a message of at least `size` bytes."""
    return plain_mail(f"number {number}", b"x" * size)


@pytest.fixture
def server_on_small_disk(small_disk: Path, new_server: NewServer) -> Server:
    """Return a running server that stores on the small disk."""
    return new_server(workers=1, data_dir=small_disk / "data").start()


@contextmanager
def immutable(directory: Path) -> Iterator[None]:
    """Make `directory` and what is in it unwritable, also for root and through open files.

    A file system with files open for writing can't be remounted read-only.
    """
    require_root()
    chattr = require_program("chattr")
    # SQLite maps this file into memory, and Linux answers a write there with SIGBUS.
    found = [path for path in directory.rglob("*") if not path.name.endswith("-shm")]
    made = subprocess.run([chattr, "+i", directory, *found], capture_output=True, check=False)
    try:
        require(made.returncode == 0, "this file system has no immutable files")
        yield
    finally:
        subprocess.run([chattr, "-i", directory, *found], check=True)


def assert_unavailable(server: Server, raw: bytes) -> None:
    """Check that `raw` isn't taken, and how that is said."""
    answer = server.deliver(raw)
    problem = answer.json()
    assert (answer.status, problem["code"]) == (503, "storage_unavailable")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert int(answer.headers["Retry-After"]) > 0
    assert set(problem) == PROBLEM_MEMBERS
    assert str(server.data_dir) not in answer.body.decode()


def assert_only(server: Server, expected: dict[str, bytes]) -> None:
    """Check that exactly the messages of `expected`, bytes by id, are stored and whole."""
    with closing(SQLiteStore(server.data_dir)) as store:
        ids = [stored.message_id for stored in store.search(Query())]
        assert {message_id: store.read(message_id) for message_id in ids} == expected


def deliver(server: Server, raw: bytes, stored: dict[str, bytes]) -> None:
    """Deliver `raw` and note it in `stored`."""
    answer = server.deliver(raw)
    assert answer.status == 200, answer.body
    assert answer.json()["duplicate"] is False
    stored[answer.json()["message_id"]] = raw


@pytest.mark.promise(
    "what cannot be stored is answered 503, said by /health, and healed without a restart"
)
def test_a_full_disk_is_said_and_survived(server_on_small_disk: Server, small_disk: Path) -> None:
    """503 for small and large messages while it lasts, 200 afterwards, without a restart."""
    server = server_on_small_disk
    stored: dict[str, bytes] = {}
    pid, workers = server.pid, server.worker_pids()
    deliver(server, message(0), stored)
    with full(small_disk):
        for number in range(1, 4):
            assert_unavailable(server, message(number))
        assert_unavailable(server, message(9, LARGE))
        wait_for(lambda: is_reported_unhealthy(server))
        assert_only(server, stored)
    wait_for(lambda: is_ready(server))
    deliver(server, message(1), stored)
    deliver(server, message(9, LARGE), stored)
    assert_only(server, stored)
    assert (server.pid, server.worker_pids()) == (pid, workers)


@pytest.mark.promise(
    "what cannot be stored is answered 503, said by /health, and healed without a restart"
)
def test_a_directory_that_becomes_read_only_is_said_and_survived(new_server: NewServer) -> None:
    """Files that are open already can't be written either; then all is well again."""
    server = new_server(workers=1).start()
    stored: dict[str, bytes] = {}
    deliver(server, message(0), stored)
    with immutable(server.data_dir):
        for number in range(1, 4):
            assert_unavailable(server, message(number))
        assert_unavailable(server, message(9, LARGE))
        wait_for(lambda: is_reported_unhealthy(server))
    wait_for(lambda: is_ready(server))
    deliver(server, message(1), stored)
    deliver(server, message(9, LARGE), stored)
    assert_only(server, stored)


@pytest.mark.promise(
    "what cannot be stored is answered 503, said by /health, and healed without a restart"
)
def test_a_worker_that_starts_while_nothing_can_be_written_waits_for_better_days(
    new_server: NewServer,
) -> None:
    """Its predecessor dies during the outage: the server says so and goes on, by itself."""
    server = new_server(workers=1).start()
    stored: dict[str, bytes] = {}
    deliver(server, message(0), stored)
    [first] = server.worker_pids()
    with immutable(server.data_dir):
        kill_process(first)
        wait_for(lambda: set(server.worker_pids()) - {first})
        wait_for(lambda: is_reported_unhealthy(server))
        assert_unavailable(server, message(1))
    wait_for(lambda: is_ready(server))
    deliver(server, message(1), stored)
    assert_only(server, stored)


def test_the_cause_is_in_the_log(server_on_small_disk: Server, small_disk: Path) -> None:
    """The operator reads what the client doesn't: the error of the system."""
    with full(small_disk):
        answer = server_on_small_disk.deliver(message(1))
    request_id = answer.headers["X-Request-ID"]
    lines = [line for line in server_on_small_disk.log() if line["request_id"] == request_id]
    assert [line["level"] for line in lines] == ["ERROR", "ERROR"]
    assert "No space left on device" in json.dumps(lines[0])


def refusal(server: Server) -> tuple[int, str]:
    """Start `server`, which must refuse; return its exit code and what it said."""
    server.launch()
    code = server.wait()
    return code, server.errors()


def test_a_start_without_a_usable_data_directory_is_refused(
    new_server: NewServer, tmp_path: Path
) -> None:
    """A file stands in its way: one line that names the setting and the path, no traceback."""
    in_the_way = tmp_path / "file"
    in_the_way.write_text("in the way", encoding="ascii")
    code, said = refusal(new_server(data_dir=in_the_way / "data"))
    assert code != 0
    [line] = said.splitlines()
    assert line.startswith(f"data_dir: {in_the_way / 'data'} can't be used: ")
    assert "Not a directory" in line


@pytest.mark.promise("a start that could store nothing is refused in one line")
def test_a_start_on_a_read_only_directory_is_refused(
    small_disk: Path, new_server: NewServer
) -> None:
    """The same for a file system that is mounted read-only."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, said = refusal(new_server(data_dir=small_disk / "data"))
    assert code != 0
    [line] = said.splitlines()
    assert line.startswith(f"data_dir: {small_disk / 'data'} can't be used: ")
    assert "Read-only file system" in line


def test_a_start_on_a_directory_that_became_read_only_is_refused(
    small_disk: Path, new_server: NewServer
) -> None:
    """Also when everything is there already: better no start than one that stores nothing."""
    server = new_server(data_dir=small_disk / "data")
    server.start()
    server.stop()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    code, said = refusal(server)
    assert code != 0
    [line] = said.splitlines()
    assert line.startswith(f"data_dir: {small_disk / 'data'} can't be used: ")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    server.start()
