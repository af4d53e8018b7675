"""Tells which parts of a segment are damaged, also of one that others write to or erase from."""

import os
from pathlib import Path

from app.storage.segments.ended_segments import PassedOver
from app.storage.segments.segment_reader import Damage, SegmentReader


def damaged_parts(path: Path) -> list[PassedOver]:
    """Return what isn't a record, though it lies between records or should be one.

    A torn end is no damage: it may be a record that is being written. Neither is content that
    doesn't match its checksum, which belongs to a message. A segment that isn't there has none.
    Raises OSError.
    """
    found = _damage(path)
    if found:
        # A record that was about to be erased may have lost its beginning first. It has lost more
        # by now.
        found &= _damage(path)
    return [PassedOver(path.name, part.start, part.end) for part in sorted(found, key=_start)]


def _damage(path: Path) -> set[Damage]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return set()
    try:
        parts = SegmentReader(descriptor, path.name).parts(verify=False)
        return {part for part in parts if isinstance(part, Damage)}
    finally:
        os.close(descriptor)


def _start(part: Damage) -> int:
    return part.start
