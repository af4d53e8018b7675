import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.segment_records import intact, parts_of, record_of, write_messages

from app.storage.segments.directory import LEGACY, NewRecord, Place, Segments
from app.storage.segments.ended_segments import EndedSegment, unless_written
from app.storage.segments.record import FILE_HEADER, MESSAGE
from app.storage.segments.segment_file import Span


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    directory = tmp_path / "segments"
    directory.mkdir()
    return directory


@pytest.fixture
def segments(directory: Path) -> Iterator[Segments]:
    segments = Segments(directory)
    yield segments
    segments.close()


def append(segments: Segments, chunks: Sequence[bytes], number: int = 1) -> Place:
    """Append one message."""
    description = record_of(number, b"".join(chunks)).description
    (place,) = segments.append([NewRecord(MESSAGE, number, description, chunks)])
    return place


def contents(segments: Segments, *places: Place) -> list[bytes]:
    """Return what is stored there."""
    return [segments.read(place.content) for place in places]


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_records_follow_each_other_in_one_file(segments: Segments, directory: Path) -> None:
    """Each span names exactly the bytes of its message, and the records leave no gap."""
    first = append(segments, [b"first", b"", b" one"], 1)
    second, third = segments.append([record_of(2, b"second"), record_of(3, b"third")])
    assert contents(segments, first, second, third) == [b"first one", b"second", b"third"]
    assert files(directory) == [first.content.segment]
    starts = [place.record_start for place in (first, second, third)]
    assert starts == [FILE_HEADER.size, first.content.end, second.content.end]
    assert (directory / first.content.segment).stat().st_size == third.content.end
    assert intact(parts_of(directory / first.content.segment)) == [1, 2, 3]


def test_an_empty_message_has_a_place(segments: Segments) -> None:
    """No bytes are stored as no bytes."""
    place = append(segments, [])
    assert contents(segments, place) == [b""]


def test_nothing_to_append_makes_no_file(segments: Segments, directory: Path) -> None:
    """An empty group has no places and no segment."""
    assert segments.append([]) == []
    assert files(directory) == []


def test_only_the_owner_reads_mail(segments: Segments, directory: Path) -> None:
    """Files are 0600, whatever the umask."""
    old = os.umask(0)
    try:
        place, large = append(segments, [b"x"]), segments.open_large()
    finally:
        os.umask(old)
    modes = [(directory / name).stat().st_mode for name in (place.content.segment, large.name)]
    large.close()
    assert [mode & 0o777 for mode in modes] == [0o600, 0o600]


def test_a_full_segment_is_closed(directory: Path) -> None:
    """The message that reaches segment_bytes is the last of its file, and whole."""
    sent = [b"1" * 500, b"2" * 500, b"next"]
    segments = Segments(directory, segment_bytes=1000)
    places = [append(segments, [raw], number) for number, raw in enumerate(sent)]
    segments.close()
    one, other, last = (place.content.segment for place in places)
    assert one == other != last
    assert contents(segments, *places) == sent


def test_a_closed_segment_is_not_written_again(segments: Segments) -> None:
    """After close the next message starts a file of its own."""
    first = append(segments, [b"first"])
    segments.close()
    assert append(segments, [b"second"], 2).content.segment != first.content.segment
    assert contents(segments, first) == [b"first"]


def test_a_shorter_file_gives_fewer_bytes(segments: Segments, directory: Path) -> None:
    """What is missing isn't made up: the checksum tells later."""
    place = append(segments, [b"0123456789"])
    os.truncate(directory / place.content.segment, place.content.offset + 4)
    assert contents(segments, place) == [b"0123"]


def test_reading_follows_no_symlink(segments: Segments, directory: Path, tmp_path: Path) -> None:
    """A link in the place of a segment isn't read."""
    (tmp_path / "secret").write_bytes(b"secret")
    (directory / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError, match="symbolic links"):
        segments.read(Span("link", 0, 6))


# In a process of its own: the limit on file sizes can't be taken back for the others' threads.
WRITE_BEYOND_THE_LIMIT = """
import resource, signal, sys
from pathlib import Path
from app.storage.segments.directory import NewRecord, Segments
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
segments = Segments(Path(sys.argv[1]))
kept = segments.append([NewRecord(1, 1, b"{}", [b"kept"])]) if sys.argv[2] == "second" else []
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    segments.append([NewRecord(1, 2, b"{}", [b"lost" * 100] * 10)])
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
for place in [*kept, *segments.append([NewRecord(1, 3, b"{}", [b"next"])])]:
    print(place.content.segment, place.content.end, segments.read(place.content).decode())
"""


@pytest.mark.parametrize("which", ["first", "second"])
def test_after_a_failed_write_a_new_file_begins(directory: Path, which: str) -> None:
    """The half-written message is cut off, nothing follows it, and earlier ones stay."""
    done = subprocess.run(
        [sys.executable, "-c", WRITE_BEYOND_THE_LIMIT, str(directory), which],
        capture_output=True,
        text=True,
        check=True,
    )
    failure, *stored = done.stdout.splitlines()
    assert failure == "File too large"
    rows = [line.split() for line in stored]
    assert [row[2] for row in rows] == (["kept", "next"] if which == "second" else ["next"])
    assert files(directory) == sorted(row[0] for row in rows)
    assert [(directory / row[0]).stat().st_size for row in rows] == [int(row[1]) for row in rows]


def test_a_failed_sync_is_final(segments: Segments, directory: Path) -> None:
    """When the descriptor fails, the message is refused and the next one gets a new file."""
    kept = append(segments, [b"kept"])
    _break_descriptor(directory / kept.content.segment)
    with pytest.raises(OSError, match=r"Bad file descriptor|Invalid argument"):
        append(segments, [b"lost"], 2)
    after = append(segments, [b"next"], 3)
    assert after.content.segment != kept.content.segment
    assert contents(segments, kept, after) == [b"kept", b"next"]


def _break_descriptor(path: Path) -> None:
    """Put a read-only descriptor in the place of the writer's one on `path`."""
    number = next(
        int(link.name)
        for link in Path("/proc/self/fd").iterdir()
        if link.is_symlink() and link.readlink() == path
    )
    read_only = os.open(path, os.O_RDONLY)
    os.dup2(read_only, number)
    os.close(read_only)


def test_what_is_taken_back_is_gone(segments: Segments, directory: Path) -> None:
    """What got no row is cut off, what lies before stays, and the file never grows again."""
    kept = append(segments, [b"kept"], 1)
    lost, _ = segments.append([record_of(2, b"lost"), record_of(3, b"lost as well")])
    segments.take_back(lost.record_start)
    following = append(segments, [b"next"], 4)
    assert following.content.segment != kept.content.segment
    path = directory / kept.content.segment
    assert (path.stat().st_size, intact(parts_of(path))) == (kept.content.end, [1])
    assert contents(segments, kept, following) == [b"kept", b"next"]


def test_when_all_is_taken_back_the_file_is_gone(segments: Segments, directory: Path) -> None:
    """A segment without any other record is removed, and so is its descriptor."""
    open_before = open_descriptors()
    segments.take_back(append(segments, [b"lost"]).record_start)
    assert files(directory) == []
    assert open_descriptors() == open_before


def test_without_a_segment_nothing_is_taken_back(segments: Segments, directory: Path) -> None:
    """After a failed append, which has cleaned up itself, nothing else is shortened."""
    kept = append(segments, [b"kept"])
    segments.close()
    segments.take_back(0)
    assert contents(segments, kept) == [b"kept"]
    assert files(directory) == [kept.content.segment]


def test_a_discarded_file_is_gone(segments: Segments, directory: Path) -> None:
    """Discarding removes the name and gives the descriptor back."""
    open_before = open_descriptors()
    file = segments.open_large()
    file.write([b"x"])
    file.discard()
    assert files(directory) == []
    assert open_descriptors() == open_before


def test_what_is_discarded_is_no_message(segments: Segments, directory: Path) -> None:
    """If the name can't be removed, it has no bytes: a start doesn't take it for stored."""
    file = segments.open_large()
    file.write([b"x" * 100])
    file.finish_large_message(record_of(1, b"x" * 100).description, 1)
    path = directory / file.name
    os.link(path, directory / "stays")
    file.discard()
    assert (directory / "stays").read_bytes() == b""


def test_a_missing_directory_leaves_no_descriptor(segments: Segments, directory: Path) -> None:
    """When no file can be made the error rises, and nothing stays open."""
    directory.rmdir()
    open_before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        append(segments, [b"x"])
    assert open_descriptors() == open_before


def test_thousands_of_pieces_are_written_in_order(segments: Segments, directory: Path) -> None:
    """More pieces than one writev takes arrive whole, in order."""
    pieces = [str(number).encode() for number in range(5000)]
    place = append(segments, pieces)
    assert contents(segments, place) == [b"".join(pieces)]
    assert intact(parts_of(directory / place.content.segment)) == [1]


def test_only_segments_are_listed(segments: Segments, directory: Path, tmp_path: Path) -> None:
    """Foreign files, directories and links aren't GoMail's, whatever they are called."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (directory / f"{'1' * 32}.records").symlink_to(target)
    (directory / f"{'2' * 32}.records").mkdir()
    os.mkfifo(directory / f"{'3' * 32}.records")
    for name in ("notes.txt", "ABC.records", f"{'4' * 31}.records", f"{'5' * 32}.records.bak"):
        (directory / name).write_bytes(b"mine")
    (directory / f"{'A' * 32}.records").write_bytes(b"mine")
    (directory / f"{'6' * 32}.records\n").write_bytes(b"mine")
    own, _ = write_messages(directory, [b"x"])
    legacy = directory / f"{'7' * 32}.segment"
    legacy.write_bytes(b"of version 0.1")
    assert segments.paths() == [own]
    assert segments.paths(LEGACY) == [legacy]
    assert segments.all_paths() == [own, legacy]


def test_a_writer_holds_a_lock_until_it_closes(segments: Segments, directory: Path) -> None:
    """Others can tell which segments are still written to, small and large ones."""
    place, large = append(segments, [b"x"]), segments.open_large()
    paths = [directory / place.content.segment, directory / large.name]
    assert [_is_locked(path) for path in paths] == [True, True]
    segments.close()
    large.close()
    assert [_is_locked(path) for path in paths] == [False, False]


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_cleaning_up_and_writers_do_not_meet(segments: Segments, directory: Path) -> None:
    """While a clean-up runs without pause, no file of a writer vanishes and nothing fails."""
    ended = threading.Event()

    def clean_up_on() -> int:
        rounds = 0
        while not ended.is_set():
            for path in segments.paths():
                with unless_written(path) as descriptor:
                    if descriptor is not None:
                        list(EndedSegment(path, descriptor, 0).records())
            rounds += 1
        return rounds

    with ThreadPoolExecutor(1) as pool:
        cleaning = pool.submit(clean_up_on)
        try:
            for _ in range(300):
                file = segments.open_large()
                assert (directory / file.name).exists()
                file.discard()
        finally:
            ended.set()
        assert cleaning.result() > 0
    assert files(directory) == []


def test_a_large_message_is_erased_with_its_file(segments: Segments, directory: Path) -> None:
    """A range that begins with 0 is the whole segment, also when it is gone already."""
    large = segments.open_large()
    large.close()
    for _ in range(2):
        segments.erase(large.name, [(0, 500)])
        assert files(directory) == []


def test_erasing_leaves_a_legacy_segment(segments: Segments, directory: Path) -> None:
    """In a segment of version 0.1 the first message begins with 0: the others stay."""
    path = directory / f"{'7' * 32}.segment"
    path.write_bytes(b"first second")
    segments.erase(path.name, [(0, 5)])
    assert path.read_bytes() == bytes(5) + b" second"


def test_what_is_being_written_can_be_erased(segments: Segments, directory: Path) -> None:
    """The neighbours of what is erased stay, and new records follow."""
    first, second = append(segments, [b"first"], 1), append(segments, [b"second"], 2)
    segments.erase(first.content.segment, [(first.record_start, first.content.end)])
    third = append(segments, [b"third"], 3)
    assert third.content.segment == first.content.segment
    assert contents(segments, first, second, third) == [bytes(5), b"second", b"third"]
    assert intact(parts_of(directory / first.content.segment)) == [2, 3]
