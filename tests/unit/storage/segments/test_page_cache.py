"""What stays in the kernel's page cache of a message that was stored."""

import os
import subprocess
from pathlib import Path

from support.requirement import require, require_program

from app.storage.segments.segment_file import SegmentFile
from app.storage.segments.spooled_body import SpooledBody

CHUNK = os.urandom(1024 * 1024)


def is_in_memory_only(directory: Path) -> bool:
    """Return whether the file system of `directory` is a tmpfs, which has no disk to read from."""
    command = ["stat", "--file-system", "--format=%T", str(directory)]
    return subprocess.run(command, check=True, capture_output=True).stdout.strip() == b"tmpfs"


def cached_pages(path: Path) -> int:
    """Return how many pages of the file at `path` are in memory."""
    command = [require_program("fincore"), "--noheadings", "--raw", "--output", "PAGES", str(path)]
    return int(subprocess.run(command, check=True, capture_output=True).stdout)


def test_a_large_message_that_was_stored_leaves_the_cache(tmp_path: Path) -> None:
    """Its memory is for the next one; before it is stored, all of it is there."""
    require(not is_in_memory_only(tmp_path), "the temporary directory is a tmpfs")
    body = SpooledBody(lambda: SegmentFile(tmp_path))
    for _ in range(3):
        body.write(CHUNK)
    [path] = tmp_path.iterdir()
    assert cached_pages(path) >= len(CHUNK) * 3 / os.sysconf("SC_PAGE_SIZE")
    assert body.segment is not None
    body.segment.sync()
    body.is_stored = True
    body.discard()
    assert cached_pages(path) == 0
    assert path.read_bytes().endswith(CHUNK)
