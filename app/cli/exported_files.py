"""Exports stored messages to files for mail programs, readable only by their owner."""

import errno
import os
import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import asctime
from typing import BinaryIO

from app.cli.stored_content import Content
from app.intake.originals import with_originals, without_mbox_line

MBOX = "gomail.mbox"
_FROM_LINE = re.compile(rb"^From ", re.MULTILINE)


def export_as_eml(contents: Iterable[Content], directory: Path) -> int:
    """Write each message to ID.eml, its envelope in X-Original- fields; return the number written.

    Replaces files of the same name. Raises OSError.
    """
    exported = 0
    for message, content in contents:
        with _new_file(directory, f"{message.message_id}.eml", replaces=True) as file:
            file.write(with_originals(content, message.envelope))
        exported += 1
    return exported


def export_as_mbox(contents: Iterable[Content], directory: Path) -> int:
    """Write all messages to a new gomail.mbox (RFC 4155); return the number written.

    Raises FileExistsError if the file exists, since it may hold other messages, and OSError.
    """
    exported = 0
    with _new_file(directory, MBOX, replaces=False) as file:
        for message, content in contents:
            sender = message.envelope.sender or "MAILER-DAEMON"
            received = asctime(message.received_at.utctimetuple())
            # RFC 4155 and Unix mail programs expect LF. To them, a From line of the message's own
            # would end its header section.
            lines = without_mbox_line(content.replace(b"\r\n", b"\n"))
            lines = _FROM_LINE.sub(b">From ", with_originals(lines, message.envelope))
            end = b"\n" if lines.endswith(b"\n") else b"\n\n"
            file.write(f"From {sender} {received}\n".encode() + lines + end)
            exported += 1
    return exported


@contextmanager
def _new_file(directory: Path, name: str, *, replaces: bool) -> Iterator[BinaryIO]:
    """Yield a file (0600) that appears under `name` only when complete; follows no symlink."""
    place = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    unfinished = f".{name}.{secrets.token_hex(8)}"
    flags = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_WRONLY | os.O_CLOEXEC
    try:
        if not replaces:
            _refuse_existing(directory / name)
        with os.fdopen(os.open(unfinished, flags, 0o600, dir_fd=place), "wb") as file:
            yield file
        if replaces:
            os.replace(unfinished, name, src_dir_fd=place, dst_dir_fd=place)
        else:
            os.link(unfinished, name, src_dir_fd=place, dst_dir_fd=place)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(unfinished, dir_fd=place)
        os.close(place)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(
            errno.EEXIST, "It already exists: move it, or export elsewhere", str(path)
        )
