"""The bearer token of an installation that has none configured."""

import secrets
from pathlib import Path

from app.errors import StorageUnavailable
from app.state.small_files import locked_directory, write_whole

# The minimum for configured tokens as well; a shorter one means that the file was damaged.
LEAST_CHARACTERS = 8


def token_file(data_dir: Path) -> Path:
    """Return the path of the token in this data directory."""
    return data_dir / "token"


def generated_token(data_dir: Path) -> str:
    """Return the token kept in `data_dir` (0600), creating it on the first call.

    Processes that call this at the same moment all get the same token. Raises
    StorageUnavailable.
    """
    path = token_file(data_dir)
    try:
        if not path.exists():
            _create(path)
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise StorageUnavailable("The generated token can't be read or written.") from error
    if not token:  # an empty token would authenticate a client that sends none
        raise StorageUnavailable("The generated token's file is empty: remove it.")
    if len(token) < LEAST_CHARACTERS or not _can_be_sent(token):
        raise StorageUnavailable("The generated token's file is damaged: remove it.")
    return token


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_directory(path.parent):
        if not path.exists() and not path.is_symlink():  # another process may have been faster
            write_whole(path, secrets.token_urlsafe(32) + "\n")
