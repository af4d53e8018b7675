import random
import shutil
import sqlite3
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from support.configured import settings_writer
from support.disk_image import DiskImage, mounted_disk_image
from support.numbered_mail import Receipt, message
from support.power_cuts import Traffic
from support.rounds import rounds
from support.server import GUNICORN, NewServer, Server, wait_for
from support.webhook import Webhook, webhook

from app.errors import GoMailError
from app.settings import Storage
from app.storage.delivery import DeliveryQuery, State
from app.storage.interface import Query
from app.storage.message import StoredMessage
from app.storage.preparation import prepare_store
from app.storage.sqlite.rebuilding import identity
from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.promise("an acknowledged message survives a power cut")

TOKEN = "power-cut-4711"
ARRIVAL_SECONDS = 120  # what was claimed when the power failed is claimed again after 60
WITHOUT_SYNC = """
from app.storage.segments.segment_file import SegmentFile
from gunicorn.app.wsgiapp import run
SegmentFile.sync = lambda _: None
run()
"""

Rows = dict[int, StoredMessage]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskImage]:
    """Return a file system of its own whose power can be cut."""
    with mounted_disk_image(tmp_path / "disk") as image:
        yield image


@pytest.fixture
def application() -> Iterator[Webhook]:
    """Return an application elsewhere, whose power doesn't fail."""
    with webhook() as made:
        yield made


@pytest.fixture
def server(disk: DiskImage, new_server: NewServer, tmp_path: Path, application: Webhook) -> Server:
    """Return a server on that disk, which has never been started."""
    file = tmp_path / "gomail.yaml"
    endpoint = {"name": "app", "url": application.url, "format": "raw"}
    settings_writer(file, TOKEN)(endpoints=[endpoint])
    return new_server(data_dir=disk.directory / "data", config=file, bearer_token=TOKEN)


def stored_rows(data_dir: Path) -> Rows:
    """Return the rows by the number of their message; each number may occur once."""
    with closing(SQLiteStore(data_dir)) as store:
        rows = list(store.search(Query()))
    numbered = {int(str(row.envelope.queue_id).removeprefix("queue")): row for row in rows}
    assert len(numbered) == len(rows), "a message is stored twice"
    return numbered


def damaged(data_dir: Path, rows: Rows) -> list[int]:
    """Return the numbers of the rows whose bytes aren't those that were sent, or can't be read."""
    with closing(SQLiteStore(data_dir)) as store:
        return [n for n, row in rows.items() if not _has(store, row.message_id, message(n))]


def _has(store: SQLiteStore, message_id: str, raw: bytes) -> bool:
    try:
        return store.read(message_id) == raw
    except GoMailError:
        return False


def lost(rows: Rows, receipts: Mapping[int, list[Receipt]], asked: set[str]) -> list[int]:
    """Return the acknowledged numbers that have no row under the ids that clients were told.

    Those that somebody has `asked` to delete may be gone.
    """
    found = []
    for number, known in receipts.items():
        ids = {one.message_id for one in known}
        is_stored = number in rows and ids == {rows[number].message_id}
        may_be_gone = number not in rows and len(ids) == 1 and ids <= asked
        if not (is_stored or may_be_gone):
            found.append(number)
    return found


def forgotten(data_dir: Path, traffic: Traffic) -> set[str]:
    """Return the ids of what ought to arrive, but hasn't, and isn't on its way."""
    with closing(SQLiteStore(data_dir)) as store:
        page = store.deliveries.find(DeliveryQuery(state=State.PENDING, limit=100_000))
    assert not page.has_more
    on_their_way = {each.message_id for each in page.deliveries}
    return traffic.to_arrive() - on_their_way - traffic.arrivals.ids()


def assert_kept(data_dir: Path, traffic: Traffic) -> Rows:
    """Check what is stored: nothing lost, no byte wrong, nothing deleted back, all delivered."""
    rows = stored_rows(data_dir)
    assert lost(rows, traffic.senders.receipts, traffic.deleter.asked) == []
    assert damaged(data_dir, rows) == []
    ids = {row.message_id for row in rows.values()}
    assert ids.isdisjoint(traffic.deleter.confirmed)
    assert forgotten(data_dir, traffic) == set()
    # Nor does an application get what isn't durable yet: a client would send it as another one.
    before_the_cut = traffic.arrivals.ids_before(traffic.cuts[-1].at)
    assert before_the_cut <= ids | traffic.deleter.asked
    with closing(sqlite3.connect(data_dir / "gomail.db")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    return rows


def remove_database(data_dir: Path) -> None:
    """Remove the database with its log."""
    for path in data_dir.glob("gomail.db*"):
        path.unlink()


def put_back(older: Path, data_dir: Path) -> None:
    """Write an older database over that of `data_dir`, as `cp` does."""
    database = data_dir / "gomail.db"
    with closing(sqlite3.connect(older)) as connection:  # it always was in this file
        own = identity(database)
        connection.execute("UPDATE counter SET value = ? WHERE name = 'file'", (own,))
        connection.commit()
    database.write_bytes(older.read_bytes())


def put_back_without_log(older: Path, data_dir: Path) -> None:
    """The same, and the log that belongs to the newer one is removed."""
    put_back(older, data_dir)
    for suffix in ("-wal", "-shm"):
        data_dir.joinpath(f"gomail.db{suffix}").unlink(missing_ok=True)


class Variants:
    """Starts on copies of a data directory whose database has met with something else as well."""

    def __init__(self, directory: Path, traffic: Traffic) -> None:
        self._copy = directory / "copy"
        self._directory = directory
        self._traffic = traffic
        self._older: list[Path] = []

    def keep_database(self, data_dir: Path) -> None:
        """Keep the database as it is now, to be put back later."""
        older = self._directory / f"older-{len(self._older)}.db"
        with (
            closing(sqlite3.connect(data_dir / "gomail.db")) as source,
            closing(sqlite3.connect(older)) as target,
        ):
            source.backup(target)
        self._older.append(older)

    def check(self, data_dir: Path) -> None:
        """Check what starts make of it: without a database, with an older one."""
        older = random.choice(self._older)
        self._start(data_dir, remove_database)
        self._start(data_dir, lambda copy: put_back(older, copy))
        self._start(data_dir, lambda copy: put_back_without_log(older, copy))

    def _start(self, data_dir: Path, change: Callable[[Path], None]) -> None:
        shutil.copytree(data_dir, self._copy)
        change(self._copy)
        prepare_store(Storage(self._copy))
        assert_kept(self._copy, self._traffic)
        shutil.rmtree(self._copy)


def assert_arrived(traffic: Traffic) -> tuple[int, int]:
    """Check what the application got, once it got all; only what isn't synced may be repeated.

    Return how many repeats there were, and how many of them came when the database was gone.
    """
    arrivals, receipts = traffic.arrivals, traffic.senders.receipts
    wait_for(lambda: traffic.to_arrive() <= arrivals.ids(), ARRIVAL_SECONDS)
    numbers = {one.message_id: number for number, known in receipts.items() for one in known}
    assert arrivals.damaged(numbers) == []
    repeats = arrivals.repeats()
    reasons = [[cut for cut in traffic.cuts if cut.explains(*each)] for each in repeats]
    assert all(reasons), "repeated without a reason"
    return len(repeats), sum(cuts[-1].loses_database for cuts in reasons)


def test_no_power_cut_loses_acknowledged_mail_or_brings_deleted_back(
    server: Server,
    disk: DiskImage,
    tmp_path: Path,
    application: Webhook,
    record_property: Callable[[str, object], None],
) -> None:
    """Cut after cut, on the same disk: each 200 is there, whole, once, and all goes on.

    What had no answer is there whole or not at all, and can be asked for again. It is the same
    without the database, and with one from before. Each 200 that nobody wants deleted reaches the
    application, too; every third time the database is gone when the power is back.
    """
    traffic = Traffic(server, disk, application)
    senders, deleter = traffic.senders, traffic.deleter
    variants = Variants(tmp_path, traffic)
    secret = server.data_dir / "endpoints" / "app.secret"
    secrets = set[str]()
    server.start()
    variants.keep_database(server.data_dir)
    cuts = rounds(20, 3)
    for number in range(cuts):
        loses_database = number % 3 == 2
        traffic.until_the_power_fails(loses_database=loses_database)
        variants.check(server.data_dir)
        if loses_database:
            remove_database(server.data_dir)
        server.start()
        assert_kept(server.data_dir, traffic)

        traffic.finish()
        rows = assert_kept(server.data_dir, traffic)
        ids = {one.message_id for known in senders.receipts.values() for one in known}
        assert set(senders.receipts) == senders.sent
        assert {row.message_id for row in rows.values()} == ids - deleter.asked
        variants.keep_database(server.data_dir)
        secrets.add(secret.read_text(encoding="ascii"))
    repeats, without_database = assert_arrived(traffic)
    assert len(secrets) == 1, "the secret that the application knows was lost"
    told = (
        f"{cuts} power cuts, {len(senders.receipts)} messages acknowledged, 0 lost,"
        f" {len(deleter.confirmed)} deleted, 0 back; {len(traffic.arrivals.ids())} delivered,"
        f" 0 missing, {repeats} repeats, {without_database} of them since the database was gone"
    )
    print(told)
    record_property("rounds", told)


def test_the_power_cut_would_show_a_missing_sync(
    server: Server, disk: DiskImage, application: Webhook
) -> None:
    """The control: with a segment's sync that does nothing the same cut loses mail."""
    traffic, lost_mail = Traffic(server, disk, application), set[int]()
    receipts = traffic.senders.receipts
    for _ in range(rounds(3, 1)):
        server.start((sys.executable, "-c", WITHOUT_SYNC, *GUNICORN[3:]))
        traffic.until_the_power_fails()
        prepare_store(Storage(server.data_dir))
        rows = stored_rows(server.data_dir)
        lost_mail |= {*lost(rows, receipts, traffic.deleter.asked)}
        lost_mail |= {*damaged(server.data_dir, rows)}
    print(f"{len(lost_mail)} of {len(receipts)} acknowledged messages lost")
    assert lost_mail
