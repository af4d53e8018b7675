"""What the segments of a data directory hold, without the database."""

from collections.abc import Iterator
from pathlib import Path

from app.storage.segments.directory import Segments
from app.storage.segments.record import MessageRecord
from app.storage.segments.segment_reader import Part, Record, SegmentReader


def parts(path: Path) -> Iterator[Part]:
    """Yield what a segment holds."""
    with path.open("rb") as file:
        yield from SegmentReader(file.fileno(), path.name).parts()


def recorded_messages(data_dir: Path) -> list[str]:
    """Return the ids of the messages that have a record; whatever is no record is a failure."""
    found = []
    for path in Segments(data_dir / "segments").paths():
        assert path.stat().st_size, f"{path} is empty"
        for part in parts(path):
            assert isinstance(part, Record), part
            assert part.is_intact, part
            if isinstance(part.entry, MessageRecord):
                found.append(part.entry.message.message_id)
    return found
