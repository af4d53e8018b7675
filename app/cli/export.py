"""Exports stored messages to files for mail programs, readable only by their owner."""

import mailbox
from collections.abc import Iterable, Iterator
from pathlib import Path
from time import asctime

from app.errors import MessageCorrupt, StorageUnavailable
from app.storage.interface import MessageStore
from app.storage.message import StoredMessage

Content = tuple[StoredMessage, bytes]


def read_all(
    store: MessageStore, messages: Iterable[StoredMessage], faults: list[str]
) -> Iterator[Content]:
    """Yield each message with its bytes; a damaged one adds a line to `faults` instead."""
    for message in messages:
        try:
            content = store.read(message.message_id)
        except (MessageCorrupt, StorageUnavailable) as error:
            faults.append(f"{message.message_id}: {error}")
            continue
        yield message, content


def export_as_eml(contents: Iterable[Content], directory: Path) -> int:
    """Write each message to ID.eml, byte for byte; return how many."""
    exported = 0
    for message, content in contents:
        temporary = directory / f".{message.message_id}.eml"
        temporary.touch(mode=0o600)
        temporary.write_bytes(content)
        temporary.replace(directory / f"{message.message_id}.eml")
        exported += 1
    return exported


def export_as_mbox(contents: Iterable[Content], directory: Path) -> int:
    """Write all messages to gomail.mbox (RFC 4155), replacing it; return how many."""
    temporary = directory / ".gomail.mbox"
    temporary.unlink(missing_ok=True)
    temporary.touch(mode=0o600)
    box = mailbox.mbox(temporary)
    exported = 0
    for message, content in contents:
        sender = message.envelope.sender or "MAILER-DAEMON"
        received = asctime(message.received_at.utctimetuple())
        lines = content.replace(b"\r\n", b"\n")  # as RFC 4155 and Unix mail programs expect
        if lines.startswith(b"From "):
            lines = b">" + lines
        box.add(f"From {sender} {received}\n".encode() + lines)
        exported += 1
    box.close()
    temporary.replace(directory / "gomail.mbox")
    return exported
