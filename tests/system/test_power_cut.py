import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from support.disk_image import DiskImage, mounted_disk_image
from support.numbered_mail import Receipt, Senders, message
from support.requirement import require_program
from support.rounds import rounds
from support.server import GUNICORN, NewServer, Server, wait_for

from app.errors import GoMailError
from app.storage.interface import Query
from app.storage.message import StoredMessage
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.promise("an acknowledged message survives a power cut")

MOST_ANSWERS = 60  # before a cut


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskImage]:
    """Return a file system of its own whose power can be cut."""
    with mounted_disk_image(tmp_path / "disk") as image:
        yield image


@pytest.fixture
def server(disk: DiskImage, new_server: NewServer) -> Server:
    """Return a server on that disk, which has never been started."""
    return new_server(data_dir=disk.directory / "data", bearer_token="power-cut-4711")


def send_until_the_power_fails(server: Server, disk: DiskImage, senders: Senders) -> None:
    """Cut the power at a random moment under load, end all processes, and switch it on again.

    The clients go on until the server has said that it can't store. What was answered while the
    file system was being shut down doesn't count, but for a real cut such an answer could not have
    got out: ext4 may report success to a sync that is under way then, though the bytes are lost.
    """
    answers = senders.statuses[200] + random.randrange(1, MOST_ANSWERS)
    refusals = senders.statuses[503]
    with senders:
        wait_for(lambda: senders.statuses[200] >= answers, 30)
        threading.Event().wait(random.uniform(0, 0.03))  # somewhere between two answers
        before = time.monotonic()
        disk.cut_power()
        after = time.monotonic()
        wait_for(lambda: senders.statuses[503] > refusals)
        server.kill()
    senders.forget_answers_in_flight(before, after)
    disk.mount_again()


def stored_rows(server: Server) -> dict[int, StoredMessage]:
    """Return the rows by the number of their message; each number may occur once."""
    with closing(SQLiteStore(server.data_dir)) as store:
        rows = list(store.search(Query()))
    numbered = {int(str(row.envelope.queue_id).removeprefix("queue")): row for row in rows}
    assert len(numbered) == len(rows), "a message is stored twice"
    return numbered


def damaged(server: Server, rows: dict[int, StoredMessage]) -> list[int]:
    """Return the numbers of the rows whose bytes aren't those that were sent."""
    with closing(SQLiteStore(server.data_dir)) as store:
        return [n for n, row in rows.items() if store.read(row.message_id) != message(n)]


def lost(rows: dict[int, StoredMessage], receipts: Mapping[int, list[Receipt]]) -> list[int]:
    """Return the acknowledged numbers that have no row under the ids that clients were told."""
    return [
        number
        for number, known in receipts.items()
        if number not in rows or {one.message_id for one in known} != {rows[number].message_id}
    ]


def integrity(server: Server) -> list[tuple[str]]:
    """Return what SQLite says of its database."""
    with closing(sqlite3.connect(server.data_dir / "gomail.db")) as connection:
        return connection.execute("PRAGMA integrity_check").fetchall()


def test_no_power_cut_loses_acknowledged_mail(
    server: Server, disk: DiskImage, record_property: Callable[[str, object], None]
) -> None:
    """Cut after cut, on the same disk: each 200 is there, whole, once, and all goes on.

    What had no answer is there whole or not at all, and can be sent again.
    """
    senders = Senders(server)
    server.start()
    cuts = rounds(20, 3)
    for _ in range(cuts):
        send_until_the_power_fails(server, disk, senders)
        server.start()
        assert integrity(server) == [("ok",)]
        rows = stored_rows(server)
        assert lost(rows, senders.receipts) == []
        assert damaged(server, rows) == []

        for number in senders.unanswered():
            senders.send(number)
        rows = stored_rows(server)
        assert lost(rows, senders.receipts) == []
        assert damaged(server, rows) == []
        assert set(rows) == senders.sent == set(senders.receipts)
    acknowledged = len(senders.receipts)
    record_property("rounds", f"{cuts} power cuts, {acknowledged} messages acknowledged, 0 lost")


def test_the_power_cut_would_show_a_missing_sync(server: Server, disk: DiskImage) -> None:
    """The control: with fsync and fdatasync that do nothing the same cut loses mail."""
    command = (require_program("eatmydata"), *GUNICORN)
    senders, lost_mail = Senders(server), set()
    server.start()  # makes the database, with syncs
    server.stop()
    for _ in range(rounds(3, 1)):
        server.start(command)
        send_until_the_power_fails(server, disk, senders)
        try:
            rows = stored_rows(server)
            lost_mail |= {*lost(rows, senders.receipts), *damaged(server, rows)}
        except GoMailError:  # there is nothing left that could be read
            lost_mail |= set(senders.receipts)
    print(f"{len(lost_mail)} of {len(senders.receipts)} acknowledged messages lost")
    assert lost_mail
