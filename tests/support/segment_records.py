"""Segments with records of messages and deletions, for tests of what reads them."""

import hashlib
import os
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from app.storage.message import Envelope, Message, SMTPClient
from app.storage.segments.directory import NewRecord, Place, Segments
from app.storage.segments.record import (
    DELETION,
    MESSAGE,
    Deletion,
    MessageRecord,
    description_of,
    description_of_deletion,
)
from app.storage.segments.segment_reader import Part, Record, SegmentReader


def message(number: int = 1, subject: str = "Hello") -> Message:
    """Return a message whose every part is told by `number`."""
    client = SMTPClient("192.0.2.1", "client.example", "helo.example")
    sender = f"sender{number}@example.org"
    return Message(
        f"00000000-0000-7000-8000-{number:012x}",
        datetime(2026, 1, 2, 3, 4, 5, 678000, UTC),
        Envelope(sender, "recipient@example.com", client, sender, f"4ABC{number:X}"),
        subject,
        f"key{number}",
    )


def record_of(number: int, content: bytes, subject: str = "Hello") -> NewRecord:
    """Return a message's record, to be appended."""
    description = description_of(message(number, subject), hashlib.sha256(content).digest())
    return NewRecord(MESSAGE, number, description, [content])


def deletion(number: int) -> Deletion:
    """Return a deletion whose every part is told by `number`."""
    return Deletion(number, f"id{number}", f"key{number}", 1_000, 2_000, "request")


def record_of_deletion(number: int) -> NewRecord:
    """Return a deletion's record, to be appended."""
    return NewRecord(DELETION, number, description_of_deletion(deletion(number)))


def write_segment(
    directory: Path, groups: Sequence[Sequence[NewRecord]]
) -> tuple[Path, list[Place]]:
    """Write a segment of which each group was synced on its own; nobody holds its lock."""
    with closing(Segments(directory)) as segments:
        places = [place for group in groups for place in segments.append(group)]
    return directory / places[0].content.segment, places


def write_messages(directory: Path, contents: Sequence[bytes]) -> tuple[Path, list[Place]]:
    """Write a segment of messages with the numbers 1, 2 and so on, each in a group of its own."""
    return write_segment(
        directory, [[record_of(number, content)] for number, content in enumerate(contents, 1)]
    )


def write_large(directory: Path, content: bytes, number: int = 1) -> Path:
    """Write a segment of one large message; nobody holds its lock."""
    with closing(Segments(directory).open_large()) as segment:
        segment.write([content])
        segment.finish_large_message(record_of(number, content).description, number)
        return directory / segment.name


def parts_of(path: Path, start: int = 0) -> list[Part]:
    """Read a segment."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return list(SegmentReader(descriptor, path.name).parts(start))
    finally:
        os.close(descriptor)


def intact(parts: Sequence[Part]) -> list[int]:
    """Return the numbers of the records that are whole."""
    return [part.entry.number for part in parts if isinstance(part, Record) and part.is_intact]


def damaged(parts: Sequence[Part]) -> list[int]:
    """Return the numbers of the messages whose content isn't what it was."""
    return [part.entry.number for part in parts if isinstance(part, Record) and not part.is_intact]


def content_of(path: Path, record: Record) -> bytes:
    """Return the content of a record that was read from a segment."""
    with path.open("rb") as file:
        file.seek(record.content_start)
        return file.read(record.content_bytes)


def overwrite(path: Path, at: int, data: bytes) -> None:
    """Write `data` over what a file has at the offset `at`."""
    with path.open("rb+") as file:
        file.seek(at)
        file.write(data)


def expected_message(number: int, content: bytes, subject: str = "Hello") -> MessageRecord:
    """Return what the record of a message has to say."""
    digest = hashlib.sha256(content).digest()
    return MessageRecord(number, message(number, subject), len(content), digest)
