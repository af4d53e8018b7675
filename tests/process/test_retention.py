"""The process that deletes and erases, in real servers; see also tests/unit/retention."""

import os
import signal
import time
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from support.configured import settings_writer
from support.linux_process import kill_process
from support.old_mail import files_with, store_old_mail
from support.server import NewServer, Server, wait_for
from support.upload import MESSAGE

from app.retention.expiry import PIECE_MESSAGES
from app.storage.interface import Query
from app.storage.message import Reason
from app.storage.sqlite.store import SQLiteStore

OVERDUE, IN_TIME = b"overdueword", b"intimeword"
KILLS = 5

pytestmark = pytest.mark.thorough


def stored(server: Server) -> list[str]:
    """Return the ids of what is stored, in order."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return sorted(each.message_id for each in store.search(Query()))


def assert_intact(server: Server, ids: list[str], content: bytes) -> None:
    """Read messages with their checksums."""
    with closing(SQLiteStore(server.data_dir)) as store:
        for message_id in ids:
            assert content in store.read(message_id)


def works(server: Server) -> bool:
    """Tell whether retention of this server has the database open, and doesn't only wait."""
    return has_open(server.retention_pid(), "gomail.db")


def waits(server: Server) -> bool:
    """Tell whether retention of this server has come to the lock, and no further."""
    return has_open(server.retention_pid(), "retention.lock") and not works(server)


def has_open(pid: int | None, name: str) -> bool:
    """Tell whether the process `pid` has a file of this name open."""
    names = set()
    for link in Path(f"/proc/{pid}/fd").iterdir() if pid else ():
        with suppress(FileNotFoundError):
            names.add(link.readlink().name)
    return name in names


@pytest.mark.promise("mail that is too old is deleted and erased")
def test_what_is_too_old_is_gone_within_seconds(new_server: NewServer) -> None:
    """Its bytes, envelope and subject are in no file; the rest is as it was; metrics tell."""
    server = new_server(retention_days=30)
    store_old_mail(server.data_dir, 120, 31, OVERDUE)
    kept = store_old_mail(server.data_dir, 120, 29, IN_TIME)
    assert len(files_with(server.data_dir, OVERDUE)) >= 2
    server.start()
    wait_for(lambda: not files_with(server.data_dir, OVERDUE), 20)
    assert stored(server) == kept
    assert_intact(server, kept, IN_TIME)
    found = server.scrape()
    assert found.value("messages_deleted_total", reason="retention") == 120
    assert found.value("stored_messages") == 120
    assert server.deliver(MESSAGE).status == 200
    assert server.scrape().value("stored_messages") == 121
    lines = [line["message"] for line in server.log()]
    assert lines.count("Retention has deleted 120 messages") == 1
    ran_at = "storage_retention_last_run_timestamp_seconds"
    assert abs(wait_for(lambda: server.scrape().value(ran_at)) - time.time()) < 60


@pytest.mark.promise("mail that is too old is deleted and erased")
def test_the_oldest_make_room(new_server: NewServer) -> None:
    """With retention_max_bytes no more than that remains, of the newest."""
    server = new_server(retention_max_bytes=5000, max_message_size=1024)
    store_old_mail(server.data_dir, 200, 2, OVERDUE)
    newest = store_old_mail(server.data_dir, 50, 1, IN_TIME)
    server.start()
    wait_for(lambda: server.scrape().value("stored_bytes") <= 5000, 20)
    left = stored(server)
    assert set(newest) <= set(left)
    assert 50 < len(left) < 250


def has_gone_on(server: Server, count: int) -> bool:
    """Tell whether fewer than `count` are left, or nothing is left to be deleted."""
    return len(stored(server)) < count or count == 60


def has_successor(server: Server, pid: int) -> bool:
    """Tell whether another process than `pid` has come."""
    return server.retention_pid() not in {None, pid}


def test_a_process_that_is_killed_goes_on(new_server: NewServer) -> None:
    """However often, at whatever step: in the end the old is gone, and the rest is as it was."""
    server = new_server(retention_days=30)
    count = 20 * PIECE_MESSAGES
    store_old_mail(server.data_dir, count, 31, OVERDUE)
    kept = store_old_mail(server.data_dir, 60, 29, IN_TIME)
    server.start()
    for _ in range(KILLS):
        pid = wait_for(server.retention_pid)
        before = len(stored(server))
        wait_for(partial(has_gone_on, server, before), 20)
        kill_process(pid)
        wait_for(partial(has_successor, server, pid), 5)
    wait_for(lambda: stored(server) == kept, 60)
    wait_for(lambda: not files_with(server.data_dir, OVERDUE), 60)
    assert_intact(server, kept, IN_TIME)
    server.stop()
    server.start()
    assert stored(server) == kept
    assert not [line for line in server.log() if "passed over" in line["message"]]


def test_of_two_servers_one_does_it(new_server: NewServer) -> None:
    """The other one waits without a word, and takes over when the first has ended."""
    first = new_server().start()
    second = new_server(data_dir=first.data_dir, retention_days=30).start()
    assert wait_for(lambda: works(first))
    wait_for(lambda: waits(second))
    assert second.deliver(MESSAGE).status == 200
    assert waits(second)
    first.kill()
    assert wait_for(lambda: works(second), 10)
    assert not [line for line in second.log() if line["level"] in {"WARNING", "ERROR"}]


def test_a_reload_changes_the_limits(new_server: NewServer, tmp_path: Path) -> None:
    """After SIGHUP the new retention_days holds, without a restart."""
    file = tmp_path / "gomail.yaml"
    write = settings_writer(file, "token-" + "t" * 32)
    write(rate_limit_per_minute=0)
    server = new_server(config=file, rate_limit_per_minute=None)
    old = store_old_mail(server.data_dir, 70, 31, OVERDUE)
    server.start()
    wait_for(lambda: server.scrape().value("storage_retention_last_run_timestamp_seconds"))
    assert stored(server) == old
    write(rate_limit_per_minute=0, retention_days=30)
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: stored(server) == [], 20)
    wait_for(lambda: server.scrape().value("config_limit", name="retention_days") == 30)


@pytest.mark.promise("deleted mail is found nowhere after a minute")
def test_what_another_process_deletes_is_erased(new_server: NewServer) -> None:
    """Without limits and without a restart: the word is in no file, its neighbours are whole."""
    server = new_server()
    kept = store_old_mail(server.data_dir, 20, 2, IN_TIME)
    asked = store_old_mail(server.data_dir, 20, 1, OVERDUE)
    kept += store_old_mail(server.data_dir, 20, 0.5, IN_TIME)
    server.start()
    wait_for(lambda: works(server))
    with closing(SQLiteStore(server.data_dir)) as store:
        assert store.remove(asked, Reason.REQUEST) == asked
    assert files_with(server.data_dir, OVERDUE)
    wait_for(lambda: not files_with(server.data_dir, OVERDUE), 45)
    assert stored(server) == sorted(kept)
    assert_intact(server, kept, IN_TIME)
    assert server.scrape().value("messages_deleted_total", reason="request") == 20


def test_a_stop_does_not_wait_for_it(new_server: NewServer) -> None:
    """In the middle of a backlog it ends with the server; the next start goes on."""
    server = new_server(retention_days=30)
    count = 20 * PIECE_MESSAGES
    store_old_mail(server.data_dir, count, 31, OVERDUE)
    server.start()
    wait_for(lambda: len(stored(server)) < count)
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 5
    assert stored(server)
    server.start()
    wait_for(lambda: stored(server) == [], 60)
    wait_for(lambda: not files_with(server.data_dir, OVERDUE), 60)
