"""Many messages that were received a while ago, stored without the way in."""

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

_A_COMMIT = 1000


def store_old_mail(
    data_dir: Path, count: int, days_old: float, content: bytes, endpoints: tuple[str, ...] = ()
) -> list[str]:
    """Store `count` messages, a millisecond after one another, while no server runs.

    Each contains `content`, in its subject and sender too, and is to be delivered to `endpoints`.
    Return their ids.
    """
    create_store(data_dir).close()
    segments, engine = Segments(data_dir / "segments"), connect(data_dir / "gomail.db")
    first = datetime.now(UTC) - timedelta(days=days_old)
    made = (_addition(segments, first, number, content, endpoints) for number in range(count))
    ids = []
    writer = Writer(engine, segments, data_dir / "commit.lock", note_failure=print)
    with closing(segments), closing(writer):
        while group := list(islice(made, _A_COMMIT)):
            writer.commit(group)
            assert all(each.receipt for each in group)
            ids += [each.message.message_id for each in group]
    engine.dispose()
    return ids


def _addition(
    segments: Segments, first: datetime, number: int, content: bytes, endpoints: tuple[str, ...]
) -> Addition:
    text, at = content.decode(), first + timedelta(milliseconds=number)
    body = SpooledBody(segments.open_large)
    body.write(b"Subject: %s\r\n\r\n%s %d\r\n" % (content, content, number))
    message_id = new_message_id(at)
    envelope = Envelope(f"{text}@example.com", "b@example.com")
    return Addition(Message(message_id, at, envelope, text, message_id, endpoints), body)


def files_with(data_dir: Path, text: bytes) -> list[str]:
    """Return the names of the files below `data_dir`, also of a running server, with `text`."""
    return [
        path.name
        for path in sorted(data_dir.rglob("*"))
        if path.is_file() and text in path.read_bytes()
    ]
