"""What `messages export` writes: whole, readable, and good to be sent in again."""

import mailbox
import subprocess
from contextlib import closing
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest
from support.requirement import require_program
from support.server import NewServer, Server

from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

MAIL = b"From: head@example.com\r\nTo: other@example.com\r\nSubject: again\r\n\r\nHi\r\nFrom me\r\n"
ENVELOPES = [
    {"X_Original_Sender": "ann@example.org", "X_Original_Recipient": "bob@example.com"},
    {
        "X_Original_Sender": "",
        "X_Original_Recipient": "j\xc3\xb6rg@example.com",
        "X_Original_Client_Address": "192.0.2.7",
        "X_Original_Client_Hostname": "client.example",
        "X_Original_Helo": "helo.example",
        "X_Original_Mail_From": "list@example.org",
    },
]
BEGINNINGS = [
    b"",
    b"From ann@example.org Thu Jan  1 00:00:00 1970\r\n",
    b">From ann Thu Jan  1 00:00:00 1970\n",
    b"\xef\xbb\xbf",  # a byte order mark
    b"\r\n\n",
]


def stored(server: Server) -> list[tuple[Any, str, bytes]]:
    """Return envelope, subject and bytes of each message, the oldest first."""
    with closing(SQLiteStore(server.data_dir)) as store:
        found = list(store.search(Query(oldest_first=True)))
        return [(row.envelope, row.subject, store.read(row.message_id)) for row in found]


def export(server: Server, directory: Path, *options: str) -> subprocess.CompletedProcess[bytes]:
    return server.gomail("messages", "export", directory, *options)


@pytest.mark.promise("an export can be sent in again")
def test_an_export_can_be_sent_in_again(
    server: Server, new_server: NewServer, tmp_path: Path
) -> None:
    """By curl, as files: another server then has the same envelopes, subjects and messages.

    Whatever a message begins with, and whatever its envelope has.
    """
    sent = [(fields, beginning) for fields in ENVELOPES for beginning in BEGINNINGS]
    for number, (fields, beginning) in enumerate(sent):
        of_its_own = {"X_Original_Queue_Id": f"4cXyz{number}"}
        assert server.deliver(beginning + MAIL, **fields, **of_its_own).status == 200
    files = exported_files(server, tmp_path / "out")
    other = new_server(rate_limit_per_minute=0).start()
    for file in files:
        send_in(file, other)

    before, after = stored(server), stored(other)
    assert len(files) == len(before) == len(sent)
    assert [found[:2] for found in after] == [found[:2] for found in before]
    assert [raw for *_, raw in before] == [beginning + MAIL for _, beginning in sent]
    assert [raw for *_, raw in after] == [file.read_bytes() for file in files]
    assert all(raw.endswith(MAIL) for *_, raw in after)
    again = exported_files(other, tmp_path / "again")
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in files]


def exported_files(server: Server, directory: Path) -> list[Path]:
    """Return the files of an export, in the order of arrival."""
    assert export(server, directory).returncode == 0
    return sorted(directory.iterdir())


def send_in(file: Path, server: Server) -> None:
    """Do as docs/storage.md says."""
    subprocess.run(
        [require_program("curl"), "--fail", "--silent", "--oauth2-bearer", server.token,
         "--data-binary", f"@{file}", "--header", "Content-Type: message/rfc822",
         f"{server.url}/mail/inbound"],
        check=True, capture_output=True,
    )  # fmt: skip


def test_what_the_request_says_outranks_the_message(server: Server) -> None:
    """And a queue id in a message can't make it a repeat of another."""
    fields = b"X-Original-Recipient: forged@example.com\r\nX-Original-Queue-Id: Q1\r\n"
    server.deliver(fields + MAIL, X_Original_Recipient="bob@example.com")
    assert server.deliver(MAIL, X_Original_Queue_Id="Q1").json()["duplicate"] is False
    assert server.deliver(fields + MAIL).json()["duplicate"] is False
    assert server.deliver(b"Received: from x\r\n" + fields + MAIL).status == 200
    recipients = [envelope.recipient for envelope, _, _ in stored(server)]
    assert recipients == [
        "bob@example.com", "other@example.com", "forged@example.com", "other@example.com"
    ]  # fmt: skip


def test_an_mbox_is_read_back(server: Server, tmp_path: Path) -> None:
    """Each message with its head, whatever it begins with."""
    for beginning in BEGINNINGS:
        server.deliver(beginning + MAIL)
    assert export(server, tmp_path, "--format", "mbox").returncode == 0
    with closing(mailbox.mbox(tmp_path / "gomail.mbox", create=False)) as box:
        found = [message_from_bytes(message.as_bytes()) for message in box]
    assert len(found) == len(BEGINNINGS)
    heads = [(each["Subject"], each["X-Original-Recipient"]) for each in found[:3]]
    assert heads == [("again", "other@example.com")] * 3


def test_a_second_mbox_does_not_replace_the_first(server: Server, tmp_path: Path) -> None:
    """It may have other messages: one line, 1, and nothing is touched."""
    server.deliver(MAIL)
    export(server, tmp_path, "--format", "mbox")
    first = (tmp_path / "gomail.mbox").read_bytes()
    server.deliver(MAIL, X_Original_Queue_Id="2")
    done = export(server, tmp_path, "--format", "mbox")
    assert done.returncode == 1
    assert "already" in done.stderr.decode().splitlines()[-1]
    assert [(path.name, path.read_bytes()) for path in tmp_path.glob("*mbox*")] == [
        ("gomail.mbox", first)
    ]


@pytest.mark.parametrize("kind", ["eml", "mbox"])
def test_a_planted_link_is_not_followed(server: Server, tmp_path: Path, kind: str) -> None:
    """In a directory that others write to, no file of theirs is overwritten."""
    message_id = server.deliver(MAIL).json()["message_id"]
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    shared = tmp_path / "shared"
    shared.mkdir()
    for name in (f".{message_id}.eml", f"{message_id}.eml", ".gomail.mbox"):
        (shared / name).symlink_to(precious)
    assert export(server, shared, "--format", kind).returncode == 0
    assert precious.read_bytes() == b"precious"
    [file] = [path for path in shared.iterdir() if path.is_file() and not path.is_symlink()]
    assert file.suffix == f".{kind}"
