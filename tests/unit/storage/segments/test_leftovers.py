import errno
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.requirement import require_program, require_root
from support.rounds import rounds

from app.storage.segments.leftovers import LEFTOVERS, Leftover, kept_leftovers, move_end

NAME = f"{'1' * 32}.records"
DATA = os.urandom(200_000)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(DATA)
    return path


def kept(directory: Path) -> dict[str, bytes]:
    """Return the bytes that were moved aside, by name."""
    names = [leftover.name for leftover in kept_leftovers(directory)]
    return {name: (directory / LEFTOVERS / name).read_bytes() for name in names}


def test_an_end_is_moved(path: Path, tmp_path: Path) -> None:
    """The file's beginning stays in its place, and the rest is kept under a name that tells it."""
    assert move_end(path, 150_000) == Leftover(f"{NAME}.from-150000", 50_000)
    assert path.read_bytes() == DATA[:150_000]
    assert kept(tmp_path) == {f"{NAME}.from-150000": DATA[150_000:]}


def test_a_whole_file_is_moved(path: Path, tmp_path: Path) -> None:
    """It keeps its name."""
    assert move_end(path, 0) == Leftover(NAME, len(DATA))
    assert not path.exists()
    assert kept(tmp_path) == {NAME: DATA}


def test_ends_of_several_files_are_kept_beside_each_other(path: Path, tmp_path: Path) -> None:
    """None takes the place of another."""
    other = tmp_path / f"{'2' * 32}.segment"
    other.write_bytes(b"0123456789")
    move_end(path, 150_000)
    move_end(path, 100_000)
    move_end(other, 4)
    assert kept(tmp_path) == {
        f"{NAME}.from-100000": DATA[100_000:150_000],
        f"{NAME}.from-150000": DATA[150_000:],
        f"{other.name}.from-4": b"456789",
    }


def test_only_the_owner_reads_them(path: Path, tmp_path: Path) -> None:
    """Directory 0700 and file 0600, whatever the umask."""
    old = os.umask(0)
    try:
        move_end(path, 150_000)
    finally:
        os.umask(old)
    directory = tmp_path / LEFTOVERS
    modes = [each.stat().st_mode & 0o777 for each in (directory, *directory.iterdir())]
    assert modes == [0o700, 0o600]


def test_without_leftovers_there_are_none(tmp_path: Path) -> None:
    """Nobody has to make the directory first."""
    assert kept_leftovers(tmp_path) == []


def test_a_link_in_its_place_is_not_followed(path: Path, tmp_path: Path) -> None:
    """Nothing outside is overwritten, and the bytes stay where they are."""
    target = tmp_path / "target"
    target.write_bytes(b"precious")
    (tmp_path / LEFTOVERS).mkdir()
    (tmp_path / LEFTOVERS / f"{NAME}.from-150000").symlink_to(target)
    with pytest.raises(OSError, match="symbolic links"):
        move_end(path, 150_000)
    assert (target.read_bytes(), path.read_bytes()) == (b"precious", DATA)


STEPS = [(0, call) for call in ("mkdir", "rename", "fsync")]
STEPS += [(150_000, call) for call in ("mkdir", "write", "fsync", "ftruncate", "fdatasync")]
MOVE = """
import sys
from pathlib import Path
from app.storage.segments.leftovers import move_end
try:
    move_end(Path(sys.argv[1]), int(sys.argv[2]))
except OSError as error:
    sys.exit(int(error.errno))
"""


def _move_with(path: Path, start: int, fault: str) -> int:
    """Move in a process to which something happens at a system call; return how it ended."""
    require_root()
    command = [require_program("strace"), "-f", "-qq", "-o", "/dev/null"]
    command += ["-e", f"trace={fault.partition(':')[0]}", "-e", f"inject={fault}"]
    command += [sys.executable, "-B", "-c", MOVE, str(path), str(start)]
    # Coverage makes directories, too.
    without_coverage = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    return subprocess.run(command, check=False, env=without_coverage).returncode


@pytest.mark.parametrize("fault", rounds(["signal=KILL", "error=EIO"], ["signal=KILL"]))
@pytest.mark.parametrize(("start", "call"), STEPS)
def test_whatever_stops_it_nothing_is_lost(
    path: Path, tmp_path: Path, start: int, call: str, fault: str
) -> None:
    """A kill or a fault at any call leaves all bytes where they were or where they go."""
    stopped = 0
    code = -signal.SIGKILL
    while code:
        shutil.rmtree(tmp_path / LEFTOVERS, ignore_errors=True)
        path.write_bytes(DATA)
        code = _move_with(path, start, f"{call}:{fault}:when={stopped + 1}")
        assert code in {0, -signal.SIGKILL, errno.EIO}
        stopped += code != 0
        name = f"{NAME}.from-{start}" if start else NAME
        moved = kept(tmp_path).get(name)
        if path.exists() and path.stat().st_size == len(DATA):
            assert path.read_bytes() == DATA
            move_end(path, start)
        else:
            assert moved == DATA[start:]
        assert kept(tmp_path) == {name: DATA[start:]}
        assert start == 0 or path.read_bytes() == DATA[:start]
    assert stopped
