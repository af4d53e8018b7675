import hashlib
import os
from pathlib import Path

import pytest

from app.errors import StorageUnavailable
from app.storage.body import HEAD_BYTES, Body
from app.storage.segments.directory import Segments
from app.storage.segments.ended_segments import unless_written
from app.storage.segments.record import FILE_HEADER
from app.storage.segments.segment_file import SegmentFile
from app.storage.segments.spooled_body import LARGE_MESSAGE_BYTES, SpooledBody


def test_the_head_is_kept_and_the_whole_is_hashed() -> None:
    """Size and digest are of all bytes, the head holds the first 256 KiB and no more."""
    raw = os.urandom(HEAD_BYTES + 1000)
    body = Body()
    for start in range(0, len(raw), 999):
        body.write(raw[start : start + 999])
    assert (body.size, body.sha256()) == (len(raw), hashlib.sha256(raw).digest())
    assert body.head == raw[:HEAD_BYTES]


def test_a_large_body_moves_to_a_segment(tmp_path: Path) -> None:
    """Up to 1 MiB stay in memory; one byte more, and all are in a file and none in memory."""
    body = SpooledBody(Segments(tmp_path).open_large)
    body.write(b"x" * LARGE_MESSAGE_BYTES)
    is_in_memory = body.segment is None
    assert is_in_memory

    body.write(b"y")
    body.write(b"z")
    assert body.segment is not None
    assert body.chunks == []
    assert body.content() == b"x" * LARGE_MESSAGE_BYTES + b"yz"
    body.write(b"!")
    assert body.content().endswith(b"yz!")
    path = tmp_path / body.segment.name
    assert path.read_bytes()[FILE_HEADER.size :] == b"x" * LARGE_MESSAGE_BYTES + b"yz!"
    body.discard()
    assert not path.exists()


def test_a_segment_that_cannot_be_opened_is_unavailable() -> None:
    """The error of the file system becomes StorageUnavailable, and the memory is given back."""

    def fail() -> SegmentFile:
        raise OSError(28, "No space left on device")

    body = SpooledBody(fail)
    with pytest.raises(StorageUnavailable) as caught:
        body.write(b"x" * (LARGE_MESSAGE_BYTES + 1))
    assert isinstance(caught.value.__cause__, OSError)
    assert body.chunks == []


def test_a_stored_large_body_keeps_its_segment(tmp_path: Path) -> None:
    """What was stored isn't removed with the memory of it, and its segment is released."""
    body = SpooledBody(Segments(tmp_path).open_large)
    body.write(b"x" * (LARGE_MESSAGE_BYTES + 1))
    segment = body.segment
    assert segment is not None
    segment.finish_large_message(b"{}", 1)
    body.is_stored = True
    for _ in range(2):
        body.discard()
    path = tmp_path / segment.name
    assert path.stat().st_size > LARGE_MESSAGE_BYTES
    with unless_written(path) as descriptor:
        assert descriptor is not None
