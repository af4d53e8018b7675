import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.storage.segments.directory import Segments
from app.storage.segments.segment_file import SegmentFile, Span


def append(segments: Segments, chunks: Sequence[bytes]) -> Span:
    """Append one message."""
    (span,) = segments.append([chunks])
    return span


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


def files(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def leftover(directory: Path, raw: bytes, name: str = "0" * 32) -> Path:
    path = directory / f"{name}.segment"
    path.write_bytes(raw)
    return path


def test_messages_follow_each_other_in_one_file(segments: Segments, directory: Path) -> None:
    """Each span names exactly the bytes of its message."""
    first, second = append(segments, [b"first", b"", b" one"]), append(segments, [b"second"])
    assert (first.segment, first.offset, first.length) == (second.segment, 0, 9)
    assert (second.offset, second.length) == (9, 6)
    assert (segments.read(first), segments.read(second)) == (b"first one", b"second")
    assert files(directory) == [first.segment]


def test_an_empty_message_has_a_span(segments: Segments) -> None:
    """No bytes are stored as no bytes."""
    assert segments.read(append(segments, [])) == b""


def test_only_the_owner_reads_mail(segments: Segments, directory: Path) -> None:
    """Files are 0600, whatever the umask."""
    old = os.umask(0)
    try:
        span = append(segments, [b"x"])
    finally:
        os.umask(old)
    assert (directory / span.segment).stat().st_mode & 0o777 == 0o600


def test_a_full_segment_is_closed(directory: Path) -> None:
    """The message that reaches segment_bytes is the last of its file, and whole."""
    segments = Segments(directory, segment_bytes=10)
    spans = [append(segments, [raw]) for raw in (b"123456789", b"0abcdef", b"next")]
    segments.close()
    assert spans[0].segment == spans[1].segment != spans[2].segment
    assert [segments.read(span) for span in spans] == [b"123456789", b"0abcdef", b"next"]


def test_a_closed_segment_is_not_written_again(segments: Segments) -> None:
    """After close the next message starts a file of its own."""
    first = append(segments, [b"first"])
    segments.close()
    assert append(segments, [b"second"]).segment != first.segment
    assert segments.read(first) == b"first"


def test_a_shorter_file_gives_fewer_bytes(segments: Segments, directory: Path) -> None:
    """What is missing isn't made up: the checksum tells later."""
    span = append(segments, [b"0123456789"])
    os.truncate(directory / span.segment, 4)
    assert segments.read(span) == b"0123"


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
from app.storage.segments.directory import Segments
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
segments = Segments(Path(sys.argv[1]))
kept = segments.append([[b"kept"]]) if sys.argv[2] == "second" else []
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    segments.append([[b"lost" * 100] * 10])
except OSError as error:
    print(error.strerror)
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
for span in [*kept, *segments.append([[b"next"]])]:
    print(span.segment, span.offset, segments.read(span).decode())
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
    expected = [["0", "kept"], ["0", "next"]] if which == "second" else [["0", "next"]]
    assert [row[1:] for row in rows] == expected
    assert files(directory) == sorted(row[0] for row in rows)
    assert all((directory / row[0]).stat().st_size == 4 for row in rows)


def test_a_failed_sync_is_final(segments: Segments, directory: Path) -> None:
    """When the descriptor fails, the message is refused and the next one gets a new file."""
    kept = append(segments, [b"kept"])
    _break_descriptor(directory / kept.segment)
    with pytest.raises(OSError, match=r"Bad file descriptor|Invalid argument"):
        append(segments, [b"lost"])
    after = append(segments, [b"next"])
    assert after.segment != kept.segment
    assert (segments.read(kept), segments.read(after)) == (b"kept", b"next")


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


def test_sweep_cuts_a_torn_tail(segments: Segments, directory: Path) -> None:
    """What lies behind the last row's end is removed, what lies before stays."""
    path = leftover(directory, b"rows|torn tail")
    segments.sweep({path.name: 5}.__getitem__)
    assert path.read_bytes() == b"rows|"


@pytest.mark.parametrize("raw", [b"", b"nobody's"])
def test_sweep_removes_a_segment_without_rows(
    segments: Segments, directory: Path, raw: bytes
) -> None:
    """A file that no row names goes, empty or not."""
    leftover(directory, raw)
    segments.sweep(lambda _name: 0)
    assert files(directory) == []


@pytest.mark.parametrize("end", [8, 100])
def test_sweep_leaves_a_whole_or_damaged_segment(
    segments: Segments, directory: Path, end: int
) -> None:
    """A file no longer than its rows is not touched, also when bytes are missing from it."""
    path = leftover(directory, b"12345678")
    before = path.stat().st_mtime_ns
    segments.sweep(lambda _name: end)
    assert path.read_bytes() == b"12345678"
    assert path.stat().st_mtime_ns == before


def test_sweep_leaves_an_emptied_segment_empty(segments: Segments, directory: Path) -> None:
    """A file that lost all its bytes isn't filled up with zeros."""
    path = leftover(directory, b"")
    segments.sweep(lambda _name: 100)
    assert path.read_bytes() == b""


def test_sweep_leaves_foreign_files(segments: Segments, directory: Path, tmp_path: Path) -> None:
    """Other names and symbolic links aren't GoMail's to remove, nor what they point at."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (directory / ("1" * 32 + ".segment")).symlink_to(target)
    for name in ("notes.txt", "ABC.segment", "2" * 31 + ".segment", "3" * 32 + ".segment.bak"):
        (directory / name).write_bytes(b"mine")
    before = files(directory)
    segments.sweep(lambda _name: 0)
    assert files(directory) == before
    assert target.read_bytes() == b"precious"
    assert (directory / "notes.txt").read_bytes() == b"mine"


def test_sweep_leaves_what_is_being_written(segments: Segments, directory: Path) -> None:
    """A segment that another process still writes has no rows yet: it stays until that ends."""
    writer = Segments(directory)
    span = append(writer, [b"row to come"])
    large = writer.open_file()
    segments.sweep(lambda _name: 0)
    assert files(directory) == sorted([span.segment, large.name])
    assert segments.read(span) == b"row to come"

    writer.close()
    large.close()
    segments.sweep(lambda _name: 0)
    assert files(directory) == []


def test_sweep_asks_again_under_the_lock(segments: Segments, directory: Path) -> None:
    """Rows that the writer committed just before it ended are not lost to an old answer."""
    path = leftover(directory, b"committed")
    answers = iter([0, 9])
    segments.sweep(lambda _name: next(answers))
    assert path.read_bytes() == b"committed"


def test_sweep_and_writers_do_not_meet(segments: Segments, directory: Path) -> None:
    """While sweeps run without pause, no file of a writer vanishes and no sweep fails."""
    ended = threading.Event()

    def sweep_on() -> int:
        sweeps = 0
        while not ended.is_set():
            segments.sweep(lambda _name: 0)
            sweeps += 1
        return sweeps

    with ThreadPoolExecutor(1) as pool:
        sweeping = pool.submit(sweep_on)
        try:
            for _ in range(300):
                file = segments.open_file()
                assert (directory / file.name).exists()
                file.discard()
        finally:
            ended.set()
        assert sweeping.result() > 0
    assert files(directory) == []


def test_emptiness_counts_bytes_in_segments(segments: Segments, directory: Path) -> None:
    """Empty segments and foreign files hold no messages."""
    (directory / "notes.txt").write_bytes(b"mine")
    leftover(directory, b"")
    assert segments.is_empty()
    leftover(directory, b"x", "1" * 32)
    assert not segments.is_empty()


def test_a_discarded_file_is_gone(segments: Segments, directory: Path) -> None:
    """Discarding removes the name and gives the descriptor back."""
    open_before = open_descriptors()
    file: SegmentFile = segments.open_file()
    file.write([b"x"])
    file.discard()
    assert files(directory) == []
    assert open_descriptors() == open_before


def test_a_missing_directory_leaves_no_descriptor(segments: Segments, directory: Path) -> None:
    """When no file can be made the error rises, and nothing stays open."""
    directory.rmdir()
    open_before = open_descriptors()
    with pytest.raises(FileNotFoundError):
        append(segments, [b"x"])
    assert open_descriptors() == open_before


def test_thousands_of_pieces_are_written_in_order(segments: Segments) -> None:
    """More pieces than one writev takes arrive whole, in order."""
    pieces = [str(number).encode() for number in range(5000)]
    assert segments.read(append(segments, pieces)) == b"".join(pieces)


def test_what_is_taken_back_is_gone(segments: Segments, directory: Path) -> None:
    """The bytes of a message that got no row make room for the next one."""
    append(segments, [b"kept"])
    segments.take_back(append(segments, [b"lost the race"]))
    span = append(segments, [b"next"])
    assert span.offset == len(b"kept")
    assert (directory / span.segment).read_bytes() == b"keptnext"
