import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from support.rounds import rounds
from support.segment_records import (
    content_of,
    damaged,
    deletion,
    expected_message,
    intact,
    overwrite,
    parts_of,
    record_of,
    record_of_deletion,
    write_large,
    write_messages,
    write_segment,
)

from app.storage.segments.directory import NewRecord, Place
from app.storage.segments.erasure import erase
from app.storage.segments.record import FILE_HEADER, MESSAGE
from app.storage.segments.segment_reader import Damage, Part, Record, TornEnd

START = FILE_HEADER.size
SEEDS = range(rounds(100, 15))


def random_contents(chance: random.Random, most: int = 30) -> list[bytes]:
    """Return contents of many sizes: empty, a few bytes, zeros, and beyond a block."""
    sizes = [chance.choice([0, 1, 50, 700, 4096, 9000]) for _ in range(chance.randrange(3, most))]
    return [chance.randbytes(size) if chance.random() < 0.5 else bytes(size) for size in sizes]


def records(parts: list[Part]) -> list[Record]:
    return [part for part in parts if isinstance(part, Record)]


def extent(place: Place) -> tuple[int, int]:
    return place.record_start, place.content.end


def assert_covers(parts: list[Part], size: int) -> None:
    """Check that parts follow each other without overlapping, within the file."""
    assert all(one.end <= other.start for one, other in pairwise(parts))
    assert not parts or parts[-1].end <= size


@pytest.mark.parametrize("seed", SEEDS)
def test_every_record_is_read(tmp_path: Path, seed: int) -> None:
    """Messages of all sizes and deletions come back in order, each where it was put."""
    chance = random.Random(seed)
    contents = random_contents(chance)
    new = [record_of(number, content) for number, content in enumerate(contents, 1)]
    gone = [record_of_deletion(number) for number in range(100, 103)]
    path, places = write_segment(tmp_path, [new[:2], new[2:], gone])
    parts = parts_of(path)
    found = records(parts)
    assert found == parts
    assert [(part.start, part.end) for part in found] == [extent(place) for place in places]
    assert [part.entry for part in found] == [
        *(expected_message(number, content) for number, content in enumerate(contents, 1)),
        *(deletion(number) for number in range(100, 103)),
    ]
    assert [content_of(path, part) for part in found] == [*contents, b"", b"", b""]
    first_of_groups = {0, 2, len(contents)}
    assert [part.begins_group for part in found] == [
        number in first_of_groups for number in range(len(found))
    ]


def test_reading_begins_where_it_is_told(tmp_path: Path) -> None:
    """From the end of a record on, the following ones are read; from the file's end, none."""
    path, places = write_messages(tmp_path, [b"one", b"two", b"three"])
    assert intact(parts_of(path, places[0].content.end)) == [2, 3]
    assert parts_of(path, places[2].content.end) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_erased_records_are_passed(tmp_path: Path, seed: int) -> None:
    """Of records of which any were erased, the others are read, and nothing is said of damage."""
    chance = random.Random(seed)
    path, places = write_messages(tmp_path, random_contents(chance))
    share = chance.choice([0.1, 0.5, 0.9, 1])
    numbers = range(1, len(places) + 1)
    gone = {number for number in numbers if chance.random() < share}
    _erase(chance, path, [extent(places[number - 1]) for number in gone])
    parts = parts_of(path)
    assert intact(parts) == [number for number in numbers if number not in gone]
    assert records(parts) == parts


def _erase(chance: random.Random, path: Path, ranges: list[tuple[int, int]]) -> None:
    """Erase by holes, in one go or one by one, or by zeros."""
    chance.shuffle(ranges)
    how = chance.randrange(3)
    if how == 0:
        erase(path, ranges)
    for start, end in ranges:
        if how == 1:
            erase(path, [(start, end)])
        elif how == 2:
            overwrite(path, start, bytes(end - start))


@pytest.mark.parametrize("run", [slice(0, 1), slice(0, 3), slice(2, 5), slice(4, 6), slice(0, 6)])
def test_erased_runs_are_passed(tmp_path: Path, run: slice) -> None:
    """At the beginning, in the middle, at the end, or all of it."""
    path, places = write_messages(tmp_path, [bytes([number]) * 9000 for number in range(6)])
    gone = places[run]
    erase(path, [(gone[0].record_start, gone[-1].content.end)])
    left = [number for number in range(1, 7) if places[number - 1] not in gone]
    parts = parts_of(path)
    assert (intact(parts), len(parts)) == (left, len(left))


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_overwritten_costs_nothing_else(tmp_path: Path, seed: int) -> None:
    """Random bytes over any place: all records beside it are read, none that isn't one."""
    chance = random.Random(seed)
    path, places = write_messages(tmp_path, random_contents(chance))
    size = path.stat().st_size
    touched = set()
    for _ in range(chance.randrange(1, 4)):
        at = chance.randrange(size)
        length = min(chance.choice([1, 2, 16, 512, 5000]), size - at)
        before = path.read_bytes()[at : at + length]
        overwrite(path, at, bytes(chance.randrange(256) for _ in range(length)))
        now = path.read_bytes()[at : at + length]
        changed = {at + n for n in range(length) if before[n] != now[n]}
        touched |= {
            number for number, place in enumerate(places, 1) if changed & set(range(*extent(place)))
        }
    parts = parts_of(path)
    assert intact(parts) == [n for n in range(1, len(places) + 1) if n not in touched]
    assert set(damaged(parts)) <= touched
    assert_covers(parts, size)
    if any(at >= START for at in touched):
        assert len(records(parts)) < len(parts) or damaged(parts)


def test_a_single_bit_anywhere_costs_one_record(tmp_path: Path) -> None:
    """Whatever bit flips, the file's header included, at most its own record is lost, and said."""
    path, places = write_messages(tmp_path, [b"first", b"", b"three\r\n"])
    original = path.read_bytes()
    for bit in range(0, len(original) * 8, rounds(1, 41)):
        data = bytearray(original)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        parts = parts_of(path)
        hit = {n for n, place in enumerate(places, 1) if bit // 8 in range(*extent(place))}
        assert intact(parts) == [n for n in (1, 2, 3) if n not in hit], bit
        others = [part for part in parts if not (isinstance(part, Record) and part.is_intact)]
        assert len(others) == len(hit), bit
        assert not any(isinstance(part, TornEnd) for part in parts), bit


@pytest.mark.parametrize("content", [b"", b"x", b"Subject: x\r\n\r\nbody\r\n"])
def test_a_last_record_with_a_wrong_size_is_no_torn_end(tmp_path: Path, content: bytes) -> None:
    """Its description seems to go on beyond the file, but is there: nothing is cut off."""
    path, places = write_messages(tmp_path, [b"one", content])
    whole, start = path.read_bytes(), places[1].record_start
    for bit in range(32):
        at = start + 20 + bit // 8  # the size of the description
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit % 8]) + whole[at + 1 :])
        parts = parts_of(path)
        assert intact(parts) == [1]
        assert parts[1:] == [Damage(start, len(whole))], bit


@pytest.mark.parametrize("contents", [[b"one", b"two two"], [b"one", b""]])
def test_a_cut_file_has_a_torn_end(tmp_path: Path, contents: list[bytes]) -> None:
    """Wherever a write stopped: what is whole is read, what follows is nobody's, and no damage."""
    path, places = write_messages(tmp_path, contents)
    original = path.read_bytes()
    for size in range(0, len(original), rounds(1, 7)):
        path.write_bytes(original[:size])
        whole = [n for n, place in enumerate(places, 1) if place.content.end <= size]
        end = places[len(whole) - 1].content.end if whole else START
        parts = parts_of(path)
        assert intact(parts) == whole
        assert parts[len(whole) :] == ([TornEnd(end, size)] if size > end else []), size


@pytest.mark.parametrize("seed", SEEDS)
def test_a_piece_that_is_missing_costs_nothing_else(tmp_path: Path, seed: int) -> None:
    """Bytes are cut out of a file, or put in: every record beside them is read."""
    chance = random.Random(seed)
    # No zeros: a message of zeros that lacks some may end with those of the next one.
    contents = [chance.randbytes(len(content)) for content in random_contents(chance)]
    path, places = write_messages(tmp_path, contents)
    data = path.read_bytes()
    at = chance.randrange(START, len(data))
    length = chance.choice([1, 15, 300, 5000])
    if seed % 2:
        path.write_bytes(data[:at] + data[at + length :])
        touched = range(at, at + length)
    else:
        path.write_bytes(data[:at] + b"\1" * length + data[at:])
        touched = range(at, at)
    parts = parts_of(path)
    expected = [
        number for number, place in enumerate(places, 1) if not _overlaps(extent(place), touched)
    ]
    assert intact(parts) == expected
    assert_covers(parts, path.stat().st_size)


def _overlaps(record: tuple[int, int], touched: range) -> bool:
    start, end = record
    if touched:
        return start < touched.stop and touched.start < end
    return start < touched.start < end


@pytest.mark.parametrize("missing", [1, 15, 16, 40, 100])
def test_a_record_that_lacks_bytes_is_no_torn_end(tmp_path: Path, missing: int) -> None:
    """It seems to go on beyond the end of the file, but a record follows: nothing is cut off."""
    path, places = write_messages(tmp_path, [b"x" * 2000, b""])
    data = path.read_bytes()
    at = places[0].content.end - missing
    path.write_bytes(data[:at] + data[at + missing :])
    parts = parts_of(path)
    assert parts[0] == Damage(START, at)
    assert intact(parts) == [2]


def test_a_shifted_record_is_said_to_be_damaged(tmp_path: Path) -> None:
    """Where bytes were put in, the message is known, and what is too much is passed over."""
    path, places = write_messages(tmp_path, [b"x" * 2000, b"next"])
    data = path.read_bytes()
    at = places[0].content.offset + 7
    path.write_bytes(data[:at] + b"more" + data[at:])
    first, between, second = parts_of(path)
    assert (damaged([first]), intact([second])) == ([1], [2])
    assert between == Damage(places[0].content.end, places[0].content.end + 4)


@pytest.mark.parametrize("garbage", [b"\xff", b"garbage" * 1000, b"\0\0x", os.urandom(70_000)])
def test_appended_garbage_is_damage(tmp_path: Path, garbage: bytes) -> None:
    """What nobody has begun to write isn't called torn: it is reported."""
    path, places = write_messages(tmp_path, [b"one", b"two"])
    while bytes.fromhex(path.stem)[0] == garbage.lstrip(b"\0")[0]:  # it might be a marker's start
        path, places = write_messages(tmp_path, [b"one", b"two"])
    end = places[1].content.end
    path.write_bytes(path.read_bytes() + garbage)
    parts = parts_of(path)
    assert intact(parts) == [1, 2]
    begins = end + len(garbage) - len(garbage.lstrip(b"\0"))
    assert parts[2:] == [Damage(begins, end + len(garbage))]


def test_appended_zeros_are_nothing(tmp_path: Path) -> None:
    """Zeros are what erased records leave, written or as a hole."""
    path, _ = write_messages(tmp_path, [b"one", b"two"])
    whole = parts_of(path)
    path.write_bytes(path.read_bytes() + bytes(5000))
    os.truncate(path, path.stat().st_size + 100_000)
    assert parts_of(path) == whole


def test_content_is_never_taken_for_records(tmp_path: Path) -> None:
    """Whole segments, records with other markers, and its own kind of bytes within messages."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other, _ = write_messages(elsewhere, [b"inner", b"inner two"])
    large = write_large(elsewhere, b"inner three")
    contents = [
        other.read_bytes(),
        other.read_bytes()[START:],
        large.read_bytes(),
        (other.read_bytes() + bytes(5000)) * 3,
        b"GoMail segment" * 50,
    ]
    path, places = write_messages(tmp_path, contents)
    parts = parts_of(path)
    assert intact(parts) == [1, 2, 3, 4, 5]
    # And if a reader has to search, because the headers are lost:
    for place in places[:4]:
        overwrite(path, place.record_start, b"\1" * 16)
    parts = parts_of(path)
    assert intact(parts) == [5]
    assert parts[:-1] == [Damage(START, places[4].record_start)]


def test_a_copied_beginning_of_a_record_is_no_record(tmp_path: Path) -> None:
    """The segment's own marker alone, as damage may leave it behind, is passed."""
    path, places = write_messages(tmp_path, [b"x" * 500, b"two"])
    marker = path.read_bytes()[places[0].record_start :][:16]
    overwrite(path, places[0].content.offset, marker * 20)
    parts = parts_of(path)
    assert (damaged(parts), intact(parts), len(parts)) == ([1], [2], 2)


def test_a_record_by_something_else_is_passed_over(tmp_path: Path) -> None:
    """What has a right checksum and says nothing is damage, and what follows is read."""
    path, places = write_segment(
        tmp_path, [[NewRecord(MESSAGE, 1, b"{}", [b"abc"]), record_of(2, b"two")]]
    )
    first, *others = parts_of(path)
    assert first == Damage(START, places[0].content.end)
    assert intact(others) == [2]


def test_a_long_description_is_read(tmp_path: Path) -> None:
    """A record may begin with more than one block."""
    subject = "ü" * 10_000
    path, _ = write_segment(
        tmp_path, [[record_of(1, b"one", subject)], [record_of(2, b"two", subject)]]
    )
    parts = parts_of(path)
    assert intact(parts) == [1, 2]
    assert records(parts)[0].entry == expected_message(1, b"one", subject)


SIZE = rounds(64, 16) * 1024 * 1024
RECORD_BYTES = 4096


def _whole(path: Path, _: list[Place]) -> None:
    assert path.exists()


def _every_second_erased(path: Path, places: list[Place]) -> None:
    erase(path, [extent(place) for place in places[::2]])


def _every_second_zeros(path: Path, places: list[Place]) -> None:
    for place in places[::2]:
        overwrite(path, place.record_start, bytes(place.content.end - place.record_start))


def _every_second_without_marker(path: Path, places: list[Place]) -> None:
    for place in places[::2]:
        overwrite(path, place.record_start, b"\1" * 16)


def _every_second_with_wrong_size(path: Path, places: list[Place]) -> None:
    for place in places[::2]:
        overwrite(path, place.record_start + 20, b"\xff\x0f\0\0")


def _every_content_damaged(path: Path, places: list[Place]) -> None:
    for place in places:
        overwrite(path, place.content.offset, b"damaged")


def _nothing_but(data: bytes) -> Callable[[Path, list[Place]], None]:
    def fill(path: Path, _: list[Place]) -> None:
        overwrite(path, START, data * ((SIZE - START) // len(data)))

    return fill


def _beginnings_of_the_marker(path: Path, _: list[Place]) -> None:
    marker = bytes.fromhex(path.name.removesuffix(".records"))
    almost = marker[:15] + bytes([marker[15] ^ 1])
    overwrite(path, START, almost * ((SIZE - START) // 16))


def _a_hole(path: Path, _: list[Place]) -> None:
    os.truncate(path, START)
    os.truncate(path, SIZE)


def _zeros_with_specks(path: Path, places: list[Place]) -> None:
    _a_hole(path, places)
    for at in range(RECORD_BYTES, SIZE, 7 * RECORD_BYTES):
        overwrite(path, at, b"speck")


@pytest.mark.parametrize(
    "damage",
    [
        _whole,
        _every_second_erased,
        _every_second_zeros,
        _every_second_without_marker,
        _every_second_with_wrong_size,
        _every_content_damaged,
        pytest.param(_nothing_but(b"\0"), id="zeros"),
        pytest.param(_nothing_but(bytes(15) + b"\1"), id="almost zeros"),
        pytest.param(_nothing_but(b"garbage"), id="garbage"),
        _beginnings_of_the_marker,
        _a_hole,
        _zeros_with_specks,
    ],
)
def test_the_time_to_read_grows_with_the_size(
    tmp_path: Path, damage: Callable[[Path, list[Place]], None]
) -> None:
    """However it is damaged, at most a few times a segment's bytes are read."""
    beginning = record_of(10_000, b"").description
    content = b"\1" * (RECORD_BYTES - 44 - len(beginning))
    numbers = range(10_000, 10_000 + SIZE // RECORD_BYTES)
    group = [record_of(number, content) for number in numbers]
    path, places = write_segment(tmp_path, [group[at : at + 2000] for at in range(0, SIZE, 2000)])
    damage(path, places)
    before = _bytes_read()
    parts_of(path)
    assert _bytes_read() - before < 5 * path.stat().st_size


def _bytes_read() -> int:
    """Return how many bytes this process has read by system calls."""
    [line, *_] = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    return int(line.removeprefix("rchar: "))
