from pathlib import Path

import pytest

from app.storage.probe import MAX_AGE_SECONDS, WriteProbe


class Clock:
    """Shows the time it is set to, in seconds."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_writable_directory_passes_and_stays_empty(tmp_path: Path) -> None:
    """Probing leaves no file."""
    WriteProbe(tmp_path).check()
    assert list(tmp_path.iterdir()) == []


def test_a_failure_and_its_end_are_seen(tmp_path: Path) -> None:
    """A result holds for MAX_AGE_SECONDS, then the directory is tried again, both ways."""
    clock, directory = Clock(), tmp_path / "segments"
    directory.mkdir()
    probe = WriteProbe(directory, clock)
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
