"""Tells which parts of a segment are damaged, also of one that others write to or erase from."""

import fcntl
import os
from pathlib import Path

from app.storage.segments.ended_segments import PassedOver
from app.storage.segments.segment_reader import Damage, SegmentReader


def damaged_parts(path: Path) -> list[PassedOver]:
    """Return what isn't a record, though it lies between records or should be one.

    A torn end is no damage, nor is whatever a segment ends with that somebody is writing to.
    Neither is content that doesn't match its checksum, which belongs to a message. A segment that
    isn't there has none. Raises OSError.
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
        reader = SegmentReader(descriptor, path.name)
        found = {part for part in reader.parts(verify=False) if isinstance(part, Damage)}
        at_the_end = {part for part in found if part.end == reader.size}
        return found - at_the_end if at_the_end and _is_written(descriptor) else found
    finally:
        os.close(descriptor)


def _is_written(descriptor: int) -> bool:
    """Tell whether a process holds the lock on it, as its writer does.

    For a moment this keeps a completion of the index from this segment, so it isn't for all.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)
    return False


def _start(part: Damage) -> int:
    return part.start
