"""A store with many messages in it, made by the product's own writer."""

import hashlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from app.storage.ids import new_message_id
from app.storage.message import Envelope, Message
from app.storage.segments.directory import Segments
from app.storage.segments.spooled_body import SpooledBody
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.database import connect
from app.storage.sqlite.writer import Addition, Writer

A_COMMIT = 1000
RECIPIENTS = 1000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def fill(
    data_dir: Path, count: int, endpoints: tuple[str, ...] = (), rest: bytes = b"\r\n"
) -> None:
    """Store `count` messages for RECIPIENTS in `data_dir`, one a second since FIRST.

    Each message gets a delivery to each of `endpoints`; `rest` follows its subject, which is a
    number.
    """
    create_store(data_dir).close()
    segments = Segments(data_dir / "segments")
    writer = Writer(connect(data_dir / "gomail.db"), segments, data_dir / "commit.lock", print)
    with closing(writer):
        additions = (addition(segments, number, endpoints, rest) for number in range(count))
        while group := list(islice(additions, A_COMMIT)):
            writer.commit(group)
            assert all(each.receipt for each in group)


def renumber(data_dir: Path) -> None:
    """Give the messages of a store that nobody uses the numbers they'd have got on arrival."""
    engine = connect(data_dir / "gomail.db")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE message SET number = received_at_ms * 1000")
    engine.dispose()


def addition(segments: Segments, number: int, endpoints: tuple[str, ...], rest: bytes) -> Addition:
    body = SpooledBody(segments.open_large)
    body.write(b"Subject: %d\r\n" % number + rest)
    received_at = FIRST + timedelta(seconds=number)
    envelope = Envelope("a@example.com", f"b{number % RECIPIENTS}@example.com")
    key = hashlib.sha256(b"%d" % number).hexdigest()
    message_id = new_message_id(received_at)
    return Addition(Message(message_id, received_at, envelope, str(number), key, endpoints), body)
