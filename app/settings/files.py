"""Resolves and reads the files that a configuration names."""

import os
from pathlib import Path


class UnreadableFile(Exception):
    """Raised if a file can't be read; the message contains neither its name nor its content."""


def from_home(path: str) -> str:
    """Return `path` with a leading `~` expanded to the home directory, as shells do.

    The path of an unknown user is returned unchanged.
    """
    try:
        return os.path.expanduser(path)  # noqa: PTH111 - Path's raises for an unknown user
    except ValueError:  # an impossible user name
        return path


def real_path(path: str) -> Path:
    """Return `path` as an absolute path with symbolic links resolved, whether or not it exists.

    A leading `~` is the home directory.
    """
    # POSIX keeps a double slash at the start, where Linux gives it no meaning.
    return Path("/" + os.path.realpath(from_home(path)).lstrip("/"))


def absolute_path(path: str) -> Path:
    """Return `path` as an absolute path that keeps symbolic links, since their targets may change.

    A leading `~` is the home directory.
    """
    return Path(from_home(path)).absolute()


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark; raises UnreadableFile."""
    try:
        return read_bytes(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnreadableFile("is not UTF-8 text") from error


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file; raises UnreadableFile."""
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise UnreadableFile(_reason(error)) from error


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, OSError) and error.errno:
        return f"can't be read: {os.strerror(error.errno)}"
    return "can't be read"
