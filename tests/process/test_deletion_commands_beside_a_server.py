"""What a command deletes is gone, whether a server runs or not, and the server goes on."""

from contextlib import closing
from pathlib import Path

import pytest
from support.plain_mail import plain_mail
from support.server import NewServer, Server

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

WORD = "pineapple"


def files_with(word: str, directory: Path) -> list[Path]:
    return [
        path
        for path in directory.rglob("*")
        if path.is_file() and word.encode() in path.read_bytes()
    ]


def planted(number: int, size: int = 100) -> bytes:
    """Return a message that has the word in its subject and its body."""
    return (
        f"From: a@example.com\r\nTo: b@example.com\r\nSubject: {WORD} {number}\r\n\r\n{WORD}\r\n"
    ).encode() + b"." * size


def deliver(server: Server, raw: bytes, sender: str = "ann@example.com") -> str:
    answer = server.deliver(raw, X_Original_Sender=sender, X_Original_Recipient="bob@example.com")
    assert answer.status == 200
    return str(answer.json()["message_id"])


@pytest.mark.parametrize(("size", "is_running"), [(100, True), (2_000_000, True), (100, False)])
def test_a_deleted_word_is_found_nowhere(
    new_server: NewServer, size: int, is_running: bool
) -> None:
    """Neither subject nor body nor sender is in data_dir, and others' messages are equal.

    A repeat is still answered as a duplicate, and new mail comes in.
    """
    server = new_server(rate_limit_per_minute=0).start()
    others = {
        deliver(server, plain_mail(number, b"body")): plain_mail(number, b"body")
        for number in range(10)
    }
    gone = [deliver(server, planted(n, size), f"{WORD}@example.com") for n in range(5)]
    others |= {
        deliver(server, plain_mail(number, b"body")): plain_mail(number, b"body")
        for number in range(10, 20)
    }
    assert files_with(WORD, server.data_dir)
    if not is_running:
        server.stop()
    deleted = server.gomail("messages", "delete", *gone)
    assert (deleted.returncode, deleted.stderr) == (0, b"Deleting\n")
    assert deleted.stdout.decode().splitlines()[-1].startswith("Deleted 5 messages ")
    assert files_with(WORD, server.data_dir) == []
    if not is_running:
        server.start()

    with closing(SQLiteStore(server.data_dir)) as store:
        assert {each.message_id: store.read(each.message_id) for each in store.search(Query())} == (
            others
        )
    assert deliver(server, planted(0, size), f"{WORD}@example.com") == gone[0]
    assert deliver(server, planted(9, size)) not in gone


def test_a_person_is_forgotten_beside_a_server(server: Server) -> None:
    """`erase` finds all of their mail, also what came in a moment ago; `verify` is content."""
    for number in range(300):
        deliver(
            server,
            plain_mail(number, b"body"),
            "ann@example.com" if number % 3 else f"{WORD}@b.example",
        )
    dry = server.gomail("messages", "erase", "--dry-run", "--address", f"{WORD}@B.example")
    assert dry.stdout.startswith(b"100 messages (")
    assert dry.returncode == 0
    erased = server.gomail("messages", "erase", "--address", f"{WORD}@B.example")
    assert (erased.returncode, erased.stderr) == (0, b"Deleting\n")
    assert files_with(WORD, server.data_dir) == []
    verified = server.gomail("messages", "verify")
    assert verified.stdout == b"All 200 messages are as they were received\n", verified.stderr


def test_the_index_is_made_anew_only_while_the_server_is_stopped(new_server: NewServer) -> None:
    """The refusal says so and changes nothing; after a stop it works, and the server starts."""
    server = new_server(rate_limit_per_minute=0).start()
    sent = [deliver(server, plain_mail(number, b"body")) for number in range(30)]
    assert server.gomail("messages", "delete", sent.pop(4)).returncode == 0
    refused = server.gomail("store", "reindex")
    assert refused.returncode == 1
    assert b"stop the server first" in refused.stderr
    assert server.deliver(plain_mail("another", b"")).status == 200
    server.stop()
    done = server.gomail("store", "reindex")
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode().endswith(": 30 messages, 1 deletions\n")
    server.start()
    assert [
        deliver(server, plain_mail(number, b"body")) for number in range(30) if number != 4
    ] == sent
