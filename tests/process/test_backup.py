"""The commands of docs/storage.md, as they stand there, and what they bring back."""

import os
import random
import re
import shutil
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest
from support.deleter import Deleter
from support.numbered_mail import Receipt, Senders, message
from support.plain_mail import plain_mail
from support.rounds import rounds
from support.server import CHECKOUT, FLASK, NewServer, Server, wait_for

from app.settings import Storage
from app.storage.interface import Query
from app.storage.preparation import prepare_store
from app.storage.sqlite.store import SQLiteStore

COPY_SECONDS = 2
PAGE = CHECKOUT / "docs" / "storage.md"

pytestmark = pytest.mark.thorough


def commands(section: str) -> list[str]:
    """Return the blocks of shell commands in `section` of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"\n## {section}\n")[2]
    return re.findall(r"```sh\n(.*?)```", text.partition("\n## ")[0], re.DOTALL)


def run(script: str, server: Server, backup: Path) -> str:
    """Run commands of the page on this server's directory; return what they print."""
    here = script.replace("/var/lib/gomail", str(server.data_dir))
    here = here.replace("/var/backups/gomail", str(backup))
    environment = server.environment | {"PATH": f"{FLASK.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-euc", here], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.promise("a backup has what was acknowledged before it began")
@pytest.mark.parametrize("has_database", [True, False])
def test_a_backup_under_load_brings_back_all_that_was_acknowledged(
    new_server: NewServer, tmp_path: Path, has_database: bool
) -> None:
    """Taken while clients deliver, put back, verified; the senders' token is still valid."""
    server, backup = new_server().start(), tmp_path / "backup"
    token, senders = server.token, Senders(server)
    back_up, put_back = commands("Backup and restore")
    with senders:
        wait_for(lambda: senders.statuses[200] >= 50, 60)
        before = {number: list(receipts) for number, receipts in senders.receipts.items()}
        run(back_up, server, backup)
        answered = senders.statuses[200]
        wait_for(lambda: senders.statuses[200] >= answered + 20, 60)
    server.stop()
    if not has_database:
        remove_database(backup)

    run(put_back, server, backup)
    server.start()
    verified = server.gomail("messages", "verify")
    assert verified.returncode == 0
    assert b"messages are as they were received" in verified.stdout
    assert server.token == token
    assert server.deliver(plain_mail("after", b"x")).status == 200
    assert_has(server.data_dir, before)


def remove_database(data_dir: Path) -> None:
    """Remove the database with its log."""
    for path in data_dir.glob("gomail.db*"):
        path.unlink()


def assert_has(data_dir: Path, receipts: Mapping[int, Sequence[Receipt]]) -> None:
    """Check that the messages are there under the ids that clients were told, byte for byte."""
    with closing(SQLiteStore(data_dir)) as store:
        for number, known in receipts.items():
            assert store.read(known[0].message_id) == message(number)


def has_answered(senders: Senders, number: int) -> bool:
    """Tell whether so many messages were stored."""
    return senders.statuses[200] >= number


def copy_in_any_order(data_dir: Path, copy: Path, dice: random.Random) -> None:
    """Copy all files, one after the other in random order, but those that have disappeared."""
    paths = [path for path in data_dir.rglob("*") if path.is_file()]
    dice.shuffle(paths)
    for path in paths:
        target = copy / path.relative_to(data_dir)
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            shutil.copyfile(path, target)
        # Much is stored and deleted meanwhile.
        threading.Event().wait(dice.uniform(0, 2 * COPY_SECONDS / len(paths)))


@pytest.mark.promise("a backup has what was acknowledged before it began")
def test_files_that_are_copied_in_any_order_bring_everything_back(
    new_server: NewServer, tmp_path: Path
) -> None:
    """Also without the database, while others are deleted; what was deleted before isn't there."""
    server, dice = new_server().start(), random.Random(4)
    senders, deleter = Senders(server), Deleter(server.data_dir)

    def to_be_deleted() -> list[str]:
        known = list(senders.receipts.copy().items())
        return [receipts[0].message_id for number, receipts in known if number % 3 == 1]

    with deleter.at_work(to_be_deleted), senders:
        for turn in range(rounds(3, 2)):
            enough = senders.statuses[200] + 30
            wait_for(partial(has_answered, senders, enough), 60)
            before = {
                number: list(receipts)
                for number, receipts in list(senders.receipts.copy().items())
                if number % 3 != 1
            }
            deleted = set(deleter.confirmed)
            copy = tmp_path / "copy"
            copy_in_any_order(server.data_dir, copy, dice)
            if turn % 2:
                remove_database(copy)
            prepare_store(Storage(copy))
            assert before
            assert_has(copy, before)
            with closing(SQLiteStore(copy)) as store:
                assert deleted.isdisjoint(row.message_id for row in store.search(Query()))
            shutil.rmtree(copy)
    assert deleter.confirmed


def test_an_older_database_costs_no_message(new_server: NewServer) -> None:
    """Put back alone, over the newer one: the start completes it, and verify finds all."""
    server = new_server().start()
    server.deliver(plain_mail("in the backup", b"x"))
    server.stop()
    older = (server.data_dir / "gomail.db").read_bytes()
    server.start()
    for number in range(30):
        assert server.deliver(plain_mail(number, b"y" * 10_000)).status == 200
    server.stop()
    (server.data_dir / "gomail.db").write_bytes(older)
    server.start()
    verified = server.gomail("messages", "verify")
    assert (verified.returncode, verified.stdout) == (
        0,
        b"All 31 messages are as they were received\n",
    )


def test_verify_names_what_is_damaged_and_what_is_missing(new_server: NewServer) -> None:
    """A line for each, on standard output, and 1; the start warns of the missing segment."""
    server = new_server(workers=1).start()
    damaged = server.deliver(plain_mail("damaged", b"x")).json()["message_id"]
    server.stop()
    [first] = (server.data_dir / "segments").iterdir()
    server.start()
    missing = server.deliver(plain_mail("missing", b"y")).json()["message_id"]
    large = server.deliver(plain_mail("whole", b"z" * 2_000_000)).json()["message_id"]
    server.stop()
    first.write_bytes(first.read_bytes().replace(b"Subject: damaged", b"Subject: DAMAGED"))
    others = set((server.data_dir / "segments").iterdir()) - {first}
    second = min(others, key=lambda path: path.stat().st_size)
    second.unlink()

    verified = server.gomail("messages", "verify")
    assert verified.returncode == 1
    lines = verified.stdout.decode().splitlines()
    assert lines == [
        f"{damaged}: damaged: the bytes don't match their checksum",
        f"{missing}: missing: segments/{second.name} isn't there",
    ]
    assert large not in verified.stdout.decode()
    assert b"2 of 3 messages" in verified.stderr
    server.start()
    assert any(second.name in line["message"] for line in server.log())
