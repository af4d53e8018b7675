import os
import random
import shutil
from pathlib import Path

import pytest
from support.rounds import rounds
from support.segment_records import (
    intact,
    overwrite,
    parts_of,
    record_of,
    record_of_deletion,
    write_large,
    write_messages,
    write_segment,
)

from app.storage.segments.directory import Place, Segments
from app.storage.segments.ended_segments import EndedSegment, PassedOver, unless_written
from app.storage.segments.erasure import erase
from app.storage.segments.leftovers import LEFTOVERS, Leftover, kept_leftovers
from app.storage.segments.record import FILE_HEADER

START = FILE_HEADER.size


def completed(path: Path, indexed_to: int = 0) -> tuple[list[int], EndedSegment]:
    """Complete a segment; return the numbers of the records it gave."""
    with unless_written(path) as descriptor:
        assert descriptor is not None
        segment = EndedSegment(path, descriptor, indexed_to)
        return [record.entry.number for record in segment.records()], segment


def three_messages(directory: Path) -> tuple[Path, list[Place]]:
    """Write three groups of one message each."""
    return write_messages(directory, [b"one", b"two" * 1000, b"three"])


def leftovers_of(directory: Path) -> dict[str, bytes]:
    """Return the bytes that were moved aside, by name."""
    names = [leftover.name for leftover in kept_leftovers(directory)]
    return {name: (directory / LEFTOVERS / name).read_bytes() for name in names}


def test_all_records_are_given(tmp_path: Path) -> None:
    """Nothing is changed about a segment in which everything is whole."""
    new = [record_of(1, b"one"), record_of(2, b""), record_of_deletion(3)]
    path, _ = write_segment(tmp_path, [new[:2], new[2:]])
    before = path.read_bytes()
    numbers, segment = completed(path)
    assert numbers == [1, 2, 3]
    assert (segment.passed_over, segment.leftover, segment.torn_bytes) == ([], None, 0)
    assert path.read_bytes() == before
    assert not (tmp_path / LEFTOVERS).exists()


def test_only_what_is_new_is_given(tmp_path: Path) -> None:
    """What lies before the index's end isn't read, damaged or not."""
    path, places = three_messages(tmp_path)
    overwrite(path, places[0].record_start, bytes([1]) * 40)
    numbers, segment = completed(path, places[1].content.end)
    assert (numbers, segment.passed_over) == ([3], [])


def test_a_torn_end_is_cut(tmp_path: Path) -> None:
    """Wherever the last write stopped, what is whole before it stays and the rest is gone."""
    path, places = three_messages(tmp_path)
    whole, end = path.read_bytes(), places[1].content.end
    for size in range(end + 1, len(whole), rounds(1, 19)):
        path.write_bytes(whole[:size])
        numbers, segment = completed(path)
        assert (numbers, segment.torn_bytes) == ([1, 2], size - end), size
        assert path.read_bytes() == whole[:end]
    assert leftovers_of(tmp_path) == {}


def test_of_a_group_that_was_interrupted_whole_records_count(tmp_path: Path) -> None:
    """Nobody was told of them, but a process may have been killed between sync and answer."""
    path, places = write_segment(tmp_path, [[record_of(n, b"x" * n) for n in (1, 2, 3)]])
    os.truncate(path, places[2].content.end - 1)
    numbers, segment = completed(path)
    assert numbers == [1, 2]
    assert path.stat().st_size == places[1].content.end
    assert (segment.leftover, segment.passed_over) == (None, [])


@pytest.mark.parametrize("size", [0, 7, START, START + 1, START + 100])
def test_a_segment_without_a_whole_record_is_removed(tmp_path: Path, size: int) -> None:
    """What a write that was interrupted has left of the first record, or of the file's header."""
    path, _ = write_messages(tmp_path, [b"one"])
    os.truncate(path, size)
    numbers, segment = completed(path)
    assert (numbers, segment.torn_bytes) == ([], size if size > START else 0)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_end_is_moved_aside(tmp_path: Path) -> None:
    """What may be acknowledged is never cut off: it is kept, all of it, and said."""
    path, places = three_messages(tmp_path)
    whole, end = path.read_bytes(), places[1].content.end
    for at in range(end, len(whole), rounds(1, 37)):
        # Not to zero: an end of zeros was never written, and stays.
        damaged = whole[:at] + bytes([whole[at] ^ 0x81 or 0x42]) + whole[at + 1 :]
        path.write_bytes(damaged)
        numbers, segment = completed(path)
        assert numbers == [1, 2], at
        assert path.read_bytes() == whole[:end]
        assert leftovers_of(tmp_path) == {f"{path.name}.from-{end}": damaged[end:]}
        assert segment.leftover == Leftover(f"{path.name}.from-{end}", len(whole) - end)
        assert (segment.torn_bytes, segment.passed_over) == (0, [])
    mode = (tmp_path / LEFTOVERS / f"{path.name}.from-{end}").stat().st_mode & 0o777
    assert (mode, (tmp_path / LEFTOVERS).stat().st_mode & 0o777) == (0o600, 0o700)


def test_a_torn_end_behind_damage_is_kept_with_it(tmp_path: Path) -> None:
    """Which of it was acknowledged, nobody can tell."""
    path, places = three_messages(tmp_path)
    overwrite(path, places[1].record_start, b"\1" * 16)
    os.truncate(path, places[2].content.end - 1)
    end = places[0].content.end
    expected = path.read_bytes()[end:]
    numbers, _ = completed(path)
    assert (numbers, path.stat().st_size) == ([1], end)
    assert leftovers_of(tmp_path) == {f"{path.name}.from-{end}": expected}


def test_a_segment_that_is_all_damaged_is_moved(tmp_path: Path) -> None:
    """It keeps its name and its bytes."""
    path, places = write_messages(tmp_path, [b"one"])
    overwrite(path, places[0].record_start, b"\1" * 16)
    data = path.read_bytes()
    numbers, segment = completed(path)
    assert (numbers, segment.leftover) == ([], Leftover(path.name, len(data)))
    assert leftovers_of(tmp_path) == {path.name: data}
    assert not path.exists()


def test_damage_in_the_middle_is_passed_over(tmp_path: Path) -> None:
    """It is said, left where it is, and what follows is given."""
    path, places = three_messages(tmp_path)
    overwrite(path, places[1].record_start + 20, b"\xff\xff")
    before = path.read_bytes()
    numbers, segment = completed(path)
    assert numbers == [1, 3]
    extent = places[1].record_start, places[1].content.end
    assert segment.passed_over == [PassedOver(path.name, *extent)]
    assert (path.read_bytes(), segment.leftover) == (before, None)


def test_a_message_with_damaged_content_in_the_middle_is_given(tmp_path: Path) -> None:
    """It was acknowledged: it gets a row, so that `messages verify` can name it."""
    path, places = three_messages(tmp_path)
    overwrite(path, places[1].content.offset, b"!")
    numbers, segment = completed(path)
    assert numbers == [1, 2, 3]
    extent = places[1].record_start, places[1].content.end
    assert segment.passed_over == [PassedOver(path.name, *extent)]


def test_a_message_with_damaged_content_in_the_last_group_is_not_given(tmp_path: Path) -> None:
    """Its sync may never have ended: at the end it is moved, before the end passed over."""
    new = [record_of(number, b"content") for number in range(1, 5)]
    path, places = write_segment(tmp_path, [new[:1], new[1:]])
    overwrite(path, places[1].content.offset, b"!")
    overwrite(path, places[3].content.offset, b"!")
    last = path.read_bytes()[places[3].record_start :]
    numbers, segment = completed(path)
    assert numbers == [1, 3]
    extent = places[1].record_start, places[1].content.end
    assert segment.passed_over == [PassedOver(path.name, *extent)]
    assert leftovers_of(tmp_path) == {f"{path.name}.from-{places[3].record_start}": last}


def test_erased_records_are_no_damage(tmp_path: Path) -> None:
    """Also at the end, where they are neither torn nor moved aside."""
    path, places = three_messages(tmp_path)
    erase(path, [(places[1].record_start, places[2].content.end)])
    before = path.read_bytes()
    numbers, segment = completed(path)
    assert numbers == [1]
    assert (segment.passed_over, segment.leftover, segment.torn_bytes) == ([], None, 0)
    assert path.read_bytes() == before


def test_a_whole_large_message_is_given(tmp_path: Path) -> None:
    """One record, and its file stays as it is."""
    path = write_large(tmp_path, b"x" * 5000, 9)
    before = path.read_bytes()
    assert completed(path)[0] == [9]
    assert path.read_bytes() == before


def test_a_large_message_without_its_record_is_removed(tmp_path: Path) -> None:
    """It was still being received when its process ended."""
    path = write_large(tmp_path, b"x" * 5000, 9)
    os.truncate(path, START + 5000)
    numbers, segment = completed(path)
    assert (numbers, segment.torn_bytes) == ([], START + 5000)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("at", [START, START + 5000, START + 5000 + 30, -1])
def test_a_damaged_large_message_is_moved_aside(tmp_path: Path, at: int) -> None:
    """In its content or its record: it may be acknowledged, so all of it is kept."""
    path = write_large(tmp_path, b"x" * 5000, 9)
    data = bytearray(path.read_bytes())
    data[at] ^= 0x80
    path.write_bytes(data)
    numbers, segment = completed(path)
    if at == START + 5000:  # a damaged marker costs nothing
        assert numbers == [9]
    else:
        assert (numbers, segment.leftover) == ([], Leftover(path.name, len(data)))
        assert leftovers_of(tmp_path) == {path.name: bytes(data)}


def test_what_is_written_is_left_alone(tmp_path: Path) -> None:
    """While a process holds the lock nothing is read; when it has ended, everything is."""
    segments = Segments(tmp_path)
    [place] = segments.append([record_of(1, b"one")])
    large = segments.open_large()
    paths = [tmp_path / place.content.segment, tmp_path / large.name]
    for path in paths:
        with unless_written(path) as descriptor:
            assert descriptor is None
    segments.close()
    large.close()
    assert [completed(path)[0] for path in paths] == [[1], []]


def test_what_is_gone_is_nobodys(tmp_path: Path) -> None:
    """A large message may be discarded between being listed and being opened."""
    with unless_written(tmp_path / f"{'0' * 32}.records") as descriptor:
        assert descriptor is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Nothing outside of the directory is shortened or moved."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    link = tmp_path / f"{'0' * 32}.records"
    link.symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"), unless_written(link):
        pass
    assert target.read_bytes() == b"precious"


def test_no_descriptor_stays_open(tmp_path: Path) -> None:
    """Neither of segments that were completed nor of those that are written."""
    path, _ = three_messages(tmp_path)
    segments = Segments(tmp_path)
    [place] = segments.append([record_of(4, b"four")])
    before = len(list(Path("/proc/self/fd").iterdir()))
    completed(path)
    with unless_written(tmp_path / place.content.segment):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    segments.close()


@pytest.mark.parametrize("seed", range(rounds(100, 15)))
def test_a_second_completion_says_the_same(tmp_path: Path, seed: int) -> None:
    """After any damage a completion loses no byte that isn't torn, and another changes nothing."""
    chance = random.Random(seed)
    contents = [chance.randbytes(chance.choice([0, 10, 5000])) for _ in range(8)]
    path, _ = write_messages(tmp_path, contents)
    size = path.stat().st_size
    for _ in range(chance.randrange(3)):
        overwrite(path, chance.randrange(START, size), chance.randbytes(chance.choice([1, 600])))
    os.truncate(path, max(START + 1, size - chance.choice([0, 1, 50, 5000])))
    before, found = path.read_bytes(), intact(parts_of(path))
    numbers, segment = completed(path)
    assert set(found) <= set(numbers)
    kept = path.read_bytes() if path.exists() else b""
    if not segment.torn_bytes:
        assert kept + b"".join(leftovers_of(tmp_path).values()) == before
    assert len(before) == len(kept) + segment.torn_bytes + sum(
        leftover.size for leftover in kept_leftovers(tmp_path)
    )
    if path.exists():
        again, second = completed(path)
        assert again == [n for n in numbers if n in set(again)]
        assert set(found) <= set(again)
        assert (second.torn_bytes, second.leftover) == (0, None)
        assert path.read_bytes() == kept


@pytest.mark.parametrize("steps", range(6))
def test_an_interrupted_clean_up_is_repeated(tmp_path: Path, steps: int) -> None:
    """Whatever step a kill or a power cut leaves behind, the end is kept once, and whole."""
    path, places = three_messages(tmp_path)
    end = places[1].content.end
    overwrite(path, end, b"\1" * 16)
    moved = path.read_bytes()[end:]
    kept = tmp_path / LEFTOVERS
    target = kept / f"{path.name}.from-{end}"
    if steps >= 1:
        kept.mkdir()
    if steps >= 2:
        target.write_bytes(moved[: (steps - 2) * len(moved) // 2])
    if steps == 5:
        os.truncate(path, end)
        target.write_bytes(moved)
    numbers, _ = completed(path)
    assert numbers == [1, 2]
    assert path.stat().st_size == end
    assert leftovers_of(tmp_path) == {target.name: moved}


def test_a_restored_segment_is_moved_again(tmp_path: Path) -> None:
    """A segment that is in leftovers already, and came back from a backup, is kept once."""
    path, places = write_messages(tmp_path, [b"one"])
    overwrite(path, places[0].record_start, b"\1" * 16)
    data = path.read_bytes()
    backup = tmp_path / "backup"
    shutil.copy(path, backup)
    completed(path)
    shutil.copy(backup, path)
    completed(path)
    assert leftovers_of(tmp_path) == {path.name: data}


def test_what_shows_that_damaged_mail_was_synced_stays(tmp_path: Path) -> None:
    """If only the last group were moved, the next reading would take the one before for torn."""
    path, places = three_messages(tmp_path)
    overwrite(path, places[1].content.offset, b"!")
    overwrite(path, places[2].content.offset, b"!")
    before = path.read_bytes()
    for _ in range(2):
        numbers, segment = completed(path)
        assert numbers == [1, 2]
        assert segment.leftover is None
        assert len(segment.passed_over) == 2
        assert path.read_bytes() == before
