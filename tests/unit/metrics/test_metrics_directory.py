import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.metrics import directory
from app.metrics.directory import make_directory

HOLD = """
import sys
from pathlib import Path
from app.metrics import directory
directory._SHARED_MEMORY = Path(sys.argv[1])
print(directory.make_directory(), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Return the directory that is used instead of /dev/shm."""
    monkeypatch.setattr(directory, "_SHARED_MEMORY", tmp_path)
    return tmp_path


@pytest.fixture
def holder(shared_memory: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """Return a process that holds a directory, and the directory."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, shared_memory],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process, Path(process.stdout.readline().strip())
        process.kill()


def test_it_is_new_and_private(shared_memory: Path) -> None:
    """Each call makes another one, which only its owner can look into."""
    made = {make_directory() for _ in range(3)}
    assert set(shared_memory.iterdir()) == made
    assert len(made) == 3
    assert {each.stat().st_mode & 0o777 for each in made} == {0o700}


def test_that_of_a_running_process_stays(
    holder: tuple[subprocess.Popen[str], Path], shared_memory: Path
) -> None:
    """Another start leaves it, and what is in it, alone."""
    _, held = holder
    (held / "counter_0.db").write_bytes(b"counted")
    make_directory()
    assert (held / "counter_0.db").read_bytes() == b"counted"


def test_that_of_a_dead_process_is_removed(
    holder: tuple[subprocess.Popen[str], Path], shared_memory: Path
) -> None:
    """The next start removes it with all that is in it."""
    process, held = holder
    (held / "counter_0.db").write_bytes(b"counted")
    process.kill()
    process.wait()
    made = make_directory()
    assert list(shared_memory.iterdir()) == [made]


def test_what_is_not_ours_stays(
    shared_memory: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Other names, files, and links that somebody has put there, aren't touched."""
    victim = tmp_path_factory.mktemp("victim")
    (victim / "kept").touch()
    (shared_memory / "gomail-metrics-link").symlink_to(victim)
    (shared_memory / "gomail-metrics-file").touch()
    (shared_memory / "gomail-other").mkdir()
    make_directory()
    assert (victim / "kept").exists()
    assert {each.name for each in shared_memory.iterdir()} >= {
        "gomail-metrics-link",
        "gomail-metrics-file",
        "gomail-other",
    }


def count_descriptors() -> int:
    """Return how many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_no_descriptor_is_lost(shared_memory: Path) -> None:
    """Looking at what others left keeps no descriptor but that of the new directory."""
    for number in range(5):
        (shared_memory / f"gomail-metrics-{number}").mkdir()
    before = count_descriptors()
    make_directory()
    assert count_descriptors() == before + 1


def test_without_shared_memory_another_place_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where there is no /dev/shm, the directory of temporary files will do."""
    monkeypatch.setattr(directory, "_SHARED_MEMORY", tmp_path / "missing")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert make_directory().parent == tmp_path
