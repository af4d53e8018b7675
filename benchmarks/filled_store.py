"""A store with many messages in it, made by the product's own writer."""

import hashlib
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from app.message_id import new_message_id
from app.model import Envelope, Message
from app.storage.body import Body
from app.storage.database import connect
from app.storage.segments import Segments
from app.storage.sql import create_store
from app.storage.writer import Addition, Writer

A_COMMIT = 1000
RECIPIENTS = 1000
FIRST = datetime(2026, 1, 1, tzinfo=UTC)


def fill(data_dir: Path, count: int) -> None:
    """Store `count` small messages for RECIPIENTS in `data_dir`, one a second since FIRST."""
    create_store(data_dir).close()
    writer = Writer(
        connect(data_dir / "gomail.db"), Segments(data_dir / "segments"), data_dir / "commit.lock"
    )
    with closing(writer):
        additions = map(addition, range(count))
        while group := list(islice(additions, A_COMMIT)):
            writer.commit(group)
            assert all(each.receipt for each in group)


def addition(number: int) -> Addition:
    body = Body()
    body.write(b"Subject: %d\r\n\r\n" % number)
    received_at = FIRST + timedelta(seconds=number)
    envelope = Envelope("a@example.com", f"b{number % RECIPIENTS}@example.com")
    key = hashlib.sha256(b"%d" % number).hexdigest()
    return Addition(
        Message(new_message_id(received_at), received_at, envelope, str(number), key), body
    )
