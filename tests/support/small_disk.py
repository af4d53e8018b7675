"""A file system of its own for a test, small enough to be filled."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from support.requirement import require, require_program, require_root

DISK_BYTES = 16 * 1024 * 1024


@contextmanager
def mounted_small_disk(directory: Path, options: str = "") -> Iterator[Path]:
    """Make `directory` and mount a file system there that holds DISK_BYTES."""
    require_root()
    mount = require_program("mount")
    directory.mkdir()
    command = [mount, "-t", "tmpfs", "-o", f"size={DISK_BYTES}{options}", "tmpfs", str(directory)]
    mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    require(mounted.returncode == 0, f"tmpfs can't be mounted: {mounted.stderr.strip()}")
    yield directory
    subprocess.run(["umount", "--lazy", str(directory)], check=True)


@contextmanager
def full(directory: Path) -> Iterator[None]:
    """Fill the file system of `directory` to the last byte, and free it again."""
    filler = directory / "filler"
    try:
        with pytest.raises(OSError, match="No space left"):
            write_endlessly(filler)
        yield
    finally:
        filler.unlink()


@contextmanager
def without_inodes(directory: Path) -> Iterator[None]:
    """Use up the inodes of the file system of `directory`, and free them again."""
    made: list[Path] = []
    try:
        with pytest.raises(OSError, match="No space left"):
            create_endlessly(directory, made)
        yield
    finally:
        for path in made:
            path.unlink()


def create_endlessly(directory: Path, made: list[Path]) -> NoReturn:
    """Create files in `directory` until that fails; their paths are added to `made`."""
    while True:
        path = directory / f"inode{len(made)}"
        path.touch()
        made.append(path)


def write_endlessly(path: Path) -> NoReturn:
    """Append to the file at `path` until that fails."""
    with path.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
