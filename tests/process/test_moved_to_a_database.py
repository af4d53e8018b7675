"""An installation moves from a data directory to PostgreSQL, goes on there, and moves back."""

from contextlib import closing
from pathlib import Path

from support.copies import contents
from support.plain_mail import plain_mail
from support.server import NewServer, Server
from support.tokens import API_TOKEN, TOKEN

from app.settings import Storage
from app.storage.factory import open_store

SETTINGS = {
    "bearer_token": TOKEN,
    "api_token": API_TOKEN,
    "webhook_url": "http://127.0.0.1:9/",
    # As on several hosts, which have to sign alike.
    "webhook_secret": "whsec_" + "c2VjcmV0" * 4,
}


def deliver(server: Server, numbers: range) -> list[str]:
    """Send messages, of which every tenth is large; return their ids."""
    ids = []
    for number in numbers:
        raw = plain_mail(number, b"x" * (2_000_000 if number % 10 == 0 else 100))
        answer = server.deliver(raw, X_Original_Queue_Id=f"Q{number}")
        assert answer.status == 200
        ids.append(str(answer.json()["message_id"]))
    return ids


def copied(server: Server, to: object) -> None:
    done = server.gomail("store", "copy", "--to", to)
    assert done.returncode == 0, done.stderr
    assert b"sesame" not in done.stdout + done.stderr


def all_of(storage: Storage) -> object:
    with closing(open_store(storage)) as store:
        return contents(store)


def test_an_installation_moves_and_moves_back(
    new_server: NewServer, database_url: str, tmp_path: Path
) -> None:
    """Each time live, then the rest: all is equal, and repeats and deletions are known there."""
    url = database_url.replace("gomail@", "gomail:sesame@")
    server = new_server(**SETTINGS).start()
    ids = deliver(server, range(25))
    assert server.gomail("messages", "delete", ids[3]).returncode == 0
    copied(server, url)
    ids += deliver(server, range(25, 30))
    assert server.gomail("messages", "delete", ids[4]).returncode == 0
    server.stop()
    copied(server, url)
    database = Storage(tmp_path, url)
    assert all_of(database) == all_of(Storage(server.data_dir))

    moved = new_server(**SETTINGS, database_url=url).start()
    assert deliver(moved, range(30)) == ids
    deliver(moved, range(30, 35))
    copied(moved, server.data_dir)
    deliver(moved, range(35, 40))
    assert moved.gomail("messages", "delete", ids[5]).returncode == 0
    moved.stop()
    copied(moved, server.data_dir)
    assert all_of(Storage(server.data_dir)) == all_of(database)
    server.start()
    assert deliver(server, range(30)) == ids
