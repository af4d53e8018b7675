import os
import random
from pathlib import Path

import pytest
from support.rounds import rounds
from support.segment_records import (
    content_of,
    damaged,
    expected_message,
    intact,
    overwrite,
    parts_of,
    write_large,
    write_messages,
)

from app.storage.segments.record import FILE_HEADER
from app.storage.segments.segment_reader import Damage, Record, TornEnd

CONTENT = b"Subject: x\r\n\r\n" + b"body\r\n" * 200
START = FILE_HEADER.size
RECORD_AT = START + len(CONTENT)


def test_it_is_one_record_that_begins_with_the_file(tmp_path: Path) -> None:
    """Content and everything that is known of it come back."""
    content = os.urandom(3 * 1024 * 1024)
    path = write_large(tmp_path, content, 7)
    [record] = parts_of(path)
    assert isinstance(record, Record)
    assert record.entry == expected_message(7, content)
    assert (record.start, record.end) == (0, path.stat().st_size)
    assert (record.is_intact, record.begins_group) == (True, True)
    assert content_of(path, record) == content


def test_a_torn_one_was_never_stored(tmp_path: Path) -> None:
    """Wherever the write of content or record stopped, nothing of it is a message."""
    path = write_large(tmp_path, CONTENT)
    whole = path.read_bytes()
    for size in [
        *range(START, RECORD_AT, rounds(1, 97)),
        *range(RECORD_AT, len(whole), rounds(1, 5)),
    ]:
        path.write_bytes(whole[:size])
        assert parts_of(path) == [TornEnd(0, size)], size


def test_a_single_bit_anywhere_is_damage(tmp_path: Path) -> None:
    """A message whose write was completed is never taken for torn, whatever bit flips."""
    path = write_large(tmp_path, CONTENT)
    whole = path.read_bytes()
    contents = range(START, RECORD_AT, rounds(50, 400))
    places = [*range(START), *contents, *range(RECORD_AT, len(whole), rounds(1, 5))]
    for at in places:
        for bit in range(0, 8, rounds(1, 3)):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :])
            [part] = parts_of(path)
            if at < START:
                assert intact([part]) == [1], (at, bit)
            elif at < RECORD_AT:
                assert damaged([part]) == [1], (at, bit)
            else:
                assert isinstance(part, Damage) or intact([part]) == [1], (at, bit)
                assert (part.start, part.end) == (0, len(whole))


def test_a_damaged_marker_costs_nothing(tmp_path: Path) -> None:
    """The record is found by what it describes, and its checksum says that it is the one."""
    path = write_large(tmp_path, CONTENT)
    overwrite(path, RECORD_AT, os.urandom(16))
    [part] = parts_of(path)
    assert isinstance(part, Record)
    assert part.entry == expected_message(1, CONTENT)
    assert part.is_intact


@pytest.mark.parametrize("header", [b"\xff" * START, bytes(START), b"GoMail segment\x01\x01"])
def test_a_damaged_header_costs_nothing(tmp_path: Path, header: bytes) -> None:
    """Also one that reads like the header of a segment with many messages is no loss."""
    path = write_large(tmp_path, CONTENT)
    overwrite(path, 0, header)
    if header.startswith(b"GoMail"):
        overwrite(path, 15, b"\x07")
    assert intact(parts_of(path)) == [1]


def test_a_damaged_header_makes_no_large_message(tmp_path: Path) -> None:
    """Records that might be read as one large message, since sizes happen to fit, are records."""
    for contents in ([b""], [b"x", b""], [b"x", b"y"]):
        path, places = write_messages(tmp_path, contents)
        size = places[-1].record_start - START
        if size:  # the last content is as long as everything before it
            path, _ = write_messages(tmp_path, [*contents[:-1], b"y" * size])
        overwrite(path, 0, bytes(START))
        parts = parts_of(path)
        assert intact(parts) == list(range(1, len(contents) + 1))
        assert parts[0].start == START


@pytest.mark.parametrize("missing", [1, 16, 500])
def test_a_missing_piece_is_damage(tmp_path: Path, missing: int) -> None:
    """The record is there, but its content isn't: that was acknowledged, and isn't torn."""
    path = write_large(tmp_path, CONTENT)
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + whole[100 + missing :])
    assert parts_of(path) == [Damage(0, len(whole) - missing)]


@pytest.mark.parametrize("garbage", [b"\0", b"}", b"garbage" * 100])
def test_appended_garbage_costs_nothing(tmp_path: Path, garbage: bytes) -> None:
    """What stands behind the record belongs to the file and hides nothing."""
    path = write_large(tmp_path, CONTENT)
    path.write_bytes(path.read_bytes() + garbage)
    [part] = parts_of(path)
    assert intact([part]) == [1]
    assert part.end == path.stat().st_size


def test_content_is_never_taken_for_its_record(tmp_path: Path) -> None:
    """A message made of segments, or that describes itself, is what it is, whole or torn."""
    inner = write_large(tmp_path, CONTENT).read_bytes()
    content = inner + b'{"id":"forged","key":"forged"'
    path = write_large(tmp_path, content, 2)
    assert intact(parts_of(path)) == [2]
    path.write_bytes(path.read_bytes()[: START + len(content)])
    assert parts_of(path) == [TornEnd(0, START + len(content))]


@pytest.mark.parametrize("seed", range(rounds(100, 15)))
def test_what_is_overwritten_is_never_read_as_whole(tmp_path: Path, seed: int) -> None:
    """Random bytes over content and record: one part, whole only if what it says is true."""
    chance = random.Random(seed)
    path = write_large(tmp_path, CONTENT)
    whole = path.read_bytes()
    at = chance.randrange(len(whole))
    length = chance.choice([1, 16, 60, 512])
    overwrite(path, at, chance.randbytes(min(length, len(whole) - at)))
    [part, *_] = parts_of(path)
    if isinstance(part, Record):
        is_touched = at + length > START and at < RECORD_AT
        assert (part.entry, part.is_intact) == (expected_message(1, CONTENT), not is_touched)
    else:
        assert at < START or at + length > RECORD_AT


def test_one_whose_end_was_zeroed_is_damaged(tmp_path: Path) -> None:
    """A lost sector at the end, with all of the record, doesn't make it a message never stored."""
    path = write_large(tmp_path, CONTENT)
    size = path.stat().st_size
    overwrite(path, RECORD_AT, bytes(size - RECORD_AT))
    assert parts_of(path) == [Damage(0, size)]
