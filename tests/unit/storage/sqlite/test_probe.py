from pathlib import Path

import pytest
from support.clock import Clock

from app.storage.sqlite.probe import MAX_AGE_SECONDS, WriteProbe


def test_a_writable_directory_passes_and_stays_empty(tmp_path: Path) -> None:
    """Probing leaves no file."""
    WriteProbe(tmp_path, lambda: None).check()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_and_its_end_are_seen(tmp_path: Path) -> None:
    """A result holds for MAX_AGE_SECONDS, then the directory is tried again, both ways."""
    clock, directory = Clock(0.0), tmp_path / "segments"
    directory.mkdir()
    probe = WriteProbe(directory, lambda: None, clock)
    probe.check()

    directory.rmdir()
    clock.now = MAX_AGE_SECONDS / 2
    probe.check()
    clock.now = MAX_AGE_SECONDS
    with pytest.raises(FileNotFoundError):
        probe.check()

    directory.mkdir()
    clock.now = MAX_AGE_SECONDS * 1.5
    with pytest.raises(FileNotFoundError):
        probe.check()
    clock.now = MAX_AGE_SECONDS * 2
    probe.check()


def test_the_database_is_tried_as_well(tmp_path: Path) -> None:
    """A directory that can be written isn't enough, and a kept failure keeps no tracebacks."""
    clock = Clock(0.0)

    def fail() -> None:
        raise OSError(5, "the database: locked")

    probe = WriteProbe(tmp_path, fail, clock)
    for _ in range(3):
        with pytest.raises(OSError, match="locked") as caught:
            probe.check()
        assert len(caught.traceback) == 2
