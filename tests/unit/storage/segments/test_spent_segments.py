import os
from pathlib import Path

import pytest
from support.segment_records import (
    overwrite,
    record_of,
    record_of_deletion,
    write_large,
    write_messages,
    write_segment,
)

from app.storage.segments.damage import damaged_parts
from app.storage.segments.directory import Segments
from app.storage.segments.ended_segments import PassedOver
from app.storage.segments.erasure import erase
from app.storage.segments.record import FILE_HEADER, HEADER_BYTES
from app.storage.segments.segment_reader import SegmentReader
from app.storage.segments.spent import remove_if_spent

DELETED_AT_MS = 2_000  # of support.segment_records.deletion
LATER_MS = DELETED_AT_MS + 1
PIECE_BYTES = 1024 * 1024


def last_number(path: Path) -> int:
    """Return the number of a segment's last record."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return SegmentReader(descriptor, path.name).last_number()
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("legacy", [True, False])
def test_what_has_only_erased_messages_is_removed(tmp_path: Path, *, legacy: bool) -> None:
    """As soon as the last of them is erased, and not before; also of version 0.1."""
    path, places = write_messages(tmp_path, [b"x" * 9000, b"y" * 9000])
    if legacy:
        path = path.rename(path.with_suffix(".segment"))
        erase(path, [(0, places[0].record_start)])
    erase(path, [(places[0].record_start, places[0].content.end)])
    assert not remove_if_spent(path, LATER_MS)
    erase(path, [(places[1].record_start, places[1].content.end)])
    assert remove_if_spent(path, LATER_MS)
    assert list(tmp_path.iterdir()) == []


def test_deletions_go_when_they_are_old(tmp_path: Path) -> None:
    """A repeat of what was deleted is known until then."""
    path, _ = write_segment(tmp_path, [[record_of_deletion(1), record_of_deletion(2)]])
    assert not remove_if_spent(path, DELETED_AT_MS)
    assert remove_if_spent(path, LATER_MS)
    assert not path.exists()


def test_what_may_be_a_message_stays(tmp_path: Path) -> None:
    """A living one, a large one, a damaged one, a torn one: each keeps its segment."""
    living, _ = write_segment(tmp_path, [[record_of_deletion(1), record_of(2, b"living")]])
    large = write_large(tmp_path, b"x" * 5000)
    damaged, places = write_segment(tmp_path, [[record_of_deletion(1), record_of(2, b"x")]])
    overwrite(damaged, places[1].record_start, b"\1" * 16)
    torn, places = write_segment(tmp_path, [[record_of_deletion(1), record_of(2, b"x")]])
    os.truncate(torn, places[1].content.end - 1)
    paths = [living, large, damaged, torn]
    before = [path.read_bytes() for path in paths]
    assert [remove_if_spent(path, LATER_MS) for path in paths] == [False] * 4
    assert [path.read_bytes() for path in paths] == before


def test_what_is_written_to_stays(tmp_path: Path) -> None:
    """Also one without any record yet; and one that is gone is no error."""
    large = Segments(tmp_path).open_large()
    path = tmp_path / large.name
    assert not remove_if_spent(path, LATER_MS)
    assert path.exists()
    large.discard()
    assert not remove_if_spent(path, LATER_MS)


def test_damaged_parts_are_told(tmp_path: Path) -> None:
    """What isn't a record between records or at the end; neither torn ends nor erased ones."""
    path, places = write_messages(tmp_path, [b"one", b"two", b"three", b"four"])
    assert damaged_parts(path) == []
    erase(path, [(places[0].record_start, places[0].content.end)])
    overwrite(path, places[1].record_start, b"\1" * 16)
    overwrite(path, places[2].content.offset, b"!")
    os.truncate(path, places[3].content.end - 1)
    extent = places[1].record_start, places[1].content.end
    assert damaged_parts(path) == [PassedOver(path.name, *extent)]
    assert damaged_parts(tmp_path / f"{'0' * 32}.records") == []


def test_the_last_number_is_found_from_the_end(tmp_path: Path) -> None:
    """Of the last record that can be told, behind erased, damaged and torn ones or content."""
    path, places = write_messages(tmp_path, [b"one", b"x" * 3_000_000, b"three"])
    assert last_number(path) == 3
    os.truncate(path, places[2].content.end - 1)
    assert last_number(path) == 3
    overwrite(path, places[2].record_start + 20, b"\xff")
    assert last_number(path) == 2
    os.truncate(path, places[1].content.end - 1)
    assert last_number(path) == 2
    erase(path, [(places[1].record_start, places[1].content.end)])
    assert last_number(path) == 1
    os.truncate(path, FILE_HEADER.size)
    assert last_number(path) == 0
    os.truncate(path, 5)
    assert last_number(path) == 0
    assert last_number(write_large(tmp_path, b"x" * 3_000_000, 9)) == 9


def test_a_marker_over_the_border_of_a_piece_is_found(tmp_path: Path) -> None:
    """Reading backwards, wherever a piece ends within it."""
    before_content = HEADER_BYTES + len(record_of(1, b"").description)
    for shift in range(-2, 18):
        path, _ = write_messages(tmp_path, [b"x" * (PIECE_BYTES + shift - before_content)])
        assert path.stat().st_size == FILE_HEADER.size + PIECE_BYTES + shift
        assert last_number(path) == 1
