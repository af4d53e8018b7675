"""An installation moves while mail comes in, and mail goes on coming in at the new place."""

import random
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from support.copies import contents
from support.numbered_mail import Senders, message
from support.plain_mail import plain_mail
from support.rounds import rounds
from support.server import FLASK, NewServer, Server

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore


@contextmanager
def deleting(server: Server) -> Iterator[None]:
    """Delete every third message a while after it has come in."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.2):
            with closing(SQLiteStore(server.data_dir)) as store:
                ids = [each.message_id for each in store.search(Query(limit=30))]
            server.gomail("messages", "delete", *ids[10::3])

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def all_of(data_dir: Path) -> object:
    with closing(SQLiteStore(data_dir)) as store:
        return contents(store)


def test_a_server_goes_on_while_it_is_copied(new_server: NewServer, tmp_path: Path) -> None:
    """Copied live twice and once after the stop, the target has what the source has.

    A server there knows the repeats, and the first messages come first.
    """
    target = tmp_path / "target"
    server = new_server(webhook_url="http://127.0.0.1:9/").start()
    with Senders(server, 2) as senders, deleting(server):
        for _ in range(2):
            live = server.gomail("store", "copy", "--to", target)
            assert live.returncode == 0, live.stderr
    assert set(senders.statuses) == {200}
    assert server.deliver(plain_mail("last", b"")).status == 200
    server.stop()
    assert all_of(target) != all_of(server.data_dir)
    rest = server.gomail("store", "copy", "--to", target)
    assert rest.returncode == 0, rest.stderr
    assert all_of(target) == all_of(server.data_dir)

    moved = new_server(data_dir=target).start()
    number, receipts = next(iter(senders.receipts.items()))
    repeat = moved.deliver(message(number), X_Original_Queue_Id=f"queue{number}").json()
    assert (repeat["message_id"], repeat["duplicate"]) == (receipts[0].message_id, True)
    verified = moved.gomail("messages", "verify")
    assert verified.returncode == 0, verified.stdout


def test_a_command_that_is_killed_is_run_again(server: Server, tmp_path: Path) -> None:
    """Killed at random moments, then run to its end: nothing is there twice or missing."""
    for number in range(300):
        assert server.deliver(plain_mail(number, b"body" * number)).status == 200
    target = tmp_path / "target"
    for round_ in range(rounds(8, 3)):
        with suppress(subprocess.TimeoutExpired):  # then it is killed
            subprocess.run(
                [FLASK, "gomail", "store", "copy", "--to", target],
                env=server.environment,
                cwd=tmp_path,
                capture_output=True,
                check=True,
                timeout=random.Random(round_).uniform(0.4, 1.2),
            )
    done = server.gomail("store", "copy", "--to", target)
    assert done.returncode == 0, done.stderr
    assert all_of(target) == all_of(server.data_dir)
