import errno
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.requirement import require, require_program, require_root
from support.rounds import rounds
from support.segment_records import intact, parts_of, write_messages

from app.storage.segments.directory import Place
from app.storage.segments.erasure import Range, erase

BLOCK = 4096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "file"


def space(path: Path) -> int:
    """Return how many bytes a file takes on the disk, once they are there."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        return os.fstat(file.fileno()).st_blocks * 512


def without(data: bytes, ranges: list[Range]) -> bytes:
    """Return `data` with zeros in `ranges`."""
    expected = bytearray(data)
    for start, end in ranges:
        expected[start:end] = bytes(len(expected[start:end]))
    return bytes(expected)


def extent(place: Place) -> Range:
    return place.record_start, place.content.end


@pytest.mark.parametrize("seed", range(rounds(100, 15)))
def test_ranges_are_zeros_and_their_neighbours_as_before(path: Path, seed: int) -> None:
    """Ranges of any size, that touch, overlap or go beyond the end, in any order."""
    chance = random.Random(seed)
    data = chance.randbytes(chance.choice([10, BLOCK, 10 * BLOCK, 10 * BLOCK + 77]))
    path.write_bytes(data)
    for _ in range(2):
        ranges = []
        for _ in range(chance.randrange(6)):
            start = chance.randrange(len(data))
            ranges.append((start, start + chance.choice([0, 1, 50, BLOCK, 3 * BLOCK])))
        assert erase(path, iter(ranges))
        data = without(data, ranges)
        assert path.read_bytes() == data


def test_erasing_again_changes_nothing(path: Path) -> None:
    """An erasure that was interrupted is done again."""
    path.write_bytes(b"x" * 50_000)
    for _ in range(2):
        assert erase(path, [(100, 40_000)])
        assert path.read_bytes() == b"x" * 100 + bytes(39_900) + b"x" * 10_000


def test_nothing_to_erase_changes_nothing(path: Path) -> None:
    """Without ranges, and with empty ones, the file is as before."""
    path.write_bytes(b"x" * 10_000)
    assert erase(path, [])
    assert erase(path, [(0, 0), (5, 5), (20_000, 30_000)])
    assert path.read_bytes() == b"x" * 10_000


def test_a_missing_file_has_nothing_to_erase(path: Path) -> None:
    """It isn't made, and that is no error."""
    assert erase(path, [(0, 10)])
    assert not path.exists()


def test_a_link_is_not_erased(path: Path, tmp_path: Path) -> None:
    """What it points at isn't GoMail's."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    path.symlink_to(target)
    assert erase(path, [(0, 8)])
    assert target.read_bytes() == b"precious"


def _records(directory: Path, count: int = rounds(300, 100)) -> tuple[Path, list[Place]]:
    """Write records of about 6 KB, as measured in facts about erasing."""
    chance = random.Random(count)
    return write_messages(directory, [chance.randbytes(6000) for _ in range(count)])


@pytest.mark.parametrize("order", ["at once", "one by one", "backwards", "at random"])
def test_runs_of_neighbours_give_their_space_back(tmp_path: Path, order: str) -> None:
    """At least 0.9 of what was deleted, at last also when each was erased by itself."""
    path, places = _records(tmp_path)
    gone = places[20:-20]
    before, data = space(path), path.read_bytes()
    ranges = [extent(place) for place in gone]
    if order == "at once":
        erase(path, ranges)
    elif order == "backwards":
        ranges.reverse()
    elif order == "at random":
        random.Random(1).shuffle(ranges)
    if order != "at once":
        for one in ranges:
            assert erase(path, [one])
    deleted = gone[-1].content.end - gone[0].record_start
    assert before - space(path) >= 0.9 * deleted
    assert path.read_bytes() == without(data, ranges)
    assert len(intact(parts_of(path))) == 40


def test_small_messages_give_their_space_back_at_last(tmp_path: Path) -> None:
    """Of several in each block the last one that goes takes the block with it."""
    path, places = write_messages(tmp_path, [b"x" * 100 for _ in range(200)])
    before = space(path)
    ranges = [extent(place) for place in places]
    random.Random(2).shuffle(ranges)
    for one in ranges:
        erase(path, [one])
    # What stays: the file's header, its last block, and a block in which ext4 lists the others.
    assert space(path) <= 3 * BLOCK < before / 8
    assert parts_of(path) == []


def test_between_living_neighbours_blocks_are_given_back(tmp_path: Path) -> None:
    """Every other message of a few blocks: the blocks that lie in it whole."""
    path, places = write_messages(tmp_path, [os.urandom(10 * BLOCK) for _ in range(40)])
    before = space(path)
    assert erase(path, [extent(place) for place in places[::2]])
    assert before - space(path) >= 20 * 9 * BLOCK
    assert intact(parts_of(path)) == list(range(2, 41, 2))


ERASE = """
import sys
from pathlib import Path
from app.storage.segments.erasure import erase
try:
    print(erase(Path(sys.argv[1]), [(5000, 10_000), (20_000, 60_000)]))
except OSError as error:
    print(error.errno)
"""


def _erase_with(path: Path, *faults: str) -> str:
    """Erase two ranges in a process of which system calls fail; return what it says."""
    require_root()
    command = [require_program("strace"), "-f", "-qq", "-o", "/dev/null"]
    command += ["-e", "trace=fallocate,fdatasync,pwrite64"]
    command += [option for fault in faults for option in ("-e", f"inject={fault}")]
    command += [sys.executable, "-c", ERASE, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("code", ["EOPNOTSUPP", "ENOSYS", "EINVAL"])
@pytest.mark.parametrize("when", ["1", "2", "1+"])
def test_where_holes_are_not_supported_zeros_are_written(path: Path, code: str, when: str) -> None:
    """It is said that no space was given back, and the bytes are gone all the same."""
    data = os.urandom(70_000)
    path.write_bytes(data)
    assert _erase_with(path, f"fallocate:error={code}:when={when}") == "False"
    assert path.read_bytes() == without(data, [(5000, 10_000), (20_000, 60_000)])


@pytest.mark.parametrize(
    "fault",
    [
        "fallocate:error=EIO:when=1",
        "fallocate:error=EIO:when=2",
        "fallocate:error=EIO:when=3",
        "fdatasync:error=EIO:when=1",
    ],
)
def test_a_fault_of_the_disk_is_an_error(path: Path, fault: str) -> None:
    """Nobody may take it for erased; what wasn't to be erased stays, and it can be repeated."""
    data = os.urandom(70_000)
    # The third call is about a block whose other bytes were erased before.
    data = without(data, [(60_000, 61_440)])
    path.write_bytes(data)
    assert _erase_with(path, fault) == str(errno.EIO)
    expected = without(data, [(5000, 10_000), (20_000, 60_000)])
    now = path.read_bytes()
    assert [n for n in range(len(data)) if now[n] not in {data[n], expected[n]}] == []
    assert erase(path, [(5000, 10_000), (20_000, 60_000)])
    assert path.read_bytes() == expected


def test_an_interrupted_call_is_repeated(path: Path) -> None:
    """A signal is no reason to leave bytes."""
    path.write_bytes(b"x" * 70_000)
    assert _erase_with(path, "fallocate:error=EINTR:when=1") == "True"
    assert path.read_bytes() == without(b"x" * 70_000, [(5000, 10_000), (20_000, 60_000)])


def test_where_zeros_cannot_be_written_either_it_is_an_error(path: Path) -> None:
    """Nobody may take it for erased."""
    path.write_bytes(b"x" * 70_000)
    faults = ["fallocate:error=EOPNOTSUPP", "pwrite64:error=EIO:when=2"]
    assert _erase_with(path, *faults) == str(errno.EIO)


@pytest.fixture
def without_holes(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a file system that can't punch holes."""
    require_root()
    directory = tmp_path / "ramfs"
    directory.mkdir()
    command = [require_program("mount"), "-t", "ramfs", "ramfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    require(mounted.returncode == 0, f"ramfs can't be mounted: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


def test_a_file_system_without_holes_gets_zeros(without_holes: Path) -> None:
    """Records are gone and their neighbours are read, as everywhere."""
    path, places = _records(without_holes, 30)
    data = path.read_bytes()
    ranges = [extent(place) for place in places[3:9] + places[20:30]]
    assert not erase(path, ranges)
    assert path.read_bytes() == without(data, ranges)
    left = [n for n in range(1, 31) if places[n - 1] not in places[3:9] + places[20:30]]
    assert intact(parts_of(path)) == left
