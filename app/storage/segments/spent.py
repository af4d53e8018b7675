"""Removes segments in which nothing is left that anybody needs."""

import os
from pathlib import Path

from app.state.small_files import sync_directory
from app.storage.segments.directory import LEGACY
from app.storage.segments.ended_segments import unless_written
from app.storage.segments.record import Deletion
from app.storage.segments.segment_reader import Part, Record, SegmentReader

_PIECE_BYTES = 1024 * 1024


def remove_if_spent(path: Path, before_ms: int) -> bool:
    """Remove a segment that has nothing but erased messages and deletions older than `before_ms`.

    The caller knows that no message in it has a row. Return whether it was removed; one that is
    written to stays. Raises OSError.
    """
    with unless_written(path) as descriptor:
        if descriptor is None or not _is_spent(descriptor, path.name, before_ms):
            return False
        path.unlink()
        sync_directory(path.parent)
        return True


def _is_spent(descriptor: int, name: str, before_ms: int) -> bool:
    if LEGACY.fullmatch(name):
        return _has_only_zeros(descriptor)
    parts = SegmentReader(descriptor, name).parts(verify=False)
    return all(_is_old_deletion(part, before_ms) for part in parts)


def _has_only_zeros(descriptor: int) -> bool:
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return not any(piece.strip(b"\0") for piece in iter(lambda: file.read(_PIECE_BYTES), b""))


def _is_old_deletion(part: Part, before_ms: int) -> bool:
    return (
        isinstance(part, Record)
        and isinstance(part.entry, Deletion)
        and part.entry.deleted_at_ms < before_ms
    )
