"""Real messages, in a directory that GOMAIL_CORPUS names: read from there, and never copied."""

import os
from functools import cache
from pathlib import Path

from support.requirement import require


def read_corpus() -> dict[str, bytes]:
    """Return the bytes of each file of the corpus by its name; skip or fail without one."""
    directory = os.environ.get("GOMAIL_CORPUS", "")
    require(directory, "GOMAIL_CORPUS doesn't name a directory of message files")
    found = _files(directory)
    require(len(found) > 100, f"GOMAIL_CORPUS={directory} holds only {len(found)} files")
    return found


@cache
def _files(directory: str) -> dict[str, bytes]:
    files = [path for path in Path(directory).rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in sorted(files)}
