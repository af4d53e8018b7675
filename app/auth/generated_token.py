"""The bearer token of an installation that configured none."""

import secrets
from pathlib import Path

from app.errors import StorageUnavailable
from app.state.small_files import locked_directory, write_whole

# What a configured token has at least; fewer are left of a file that was damaged.
LEAST_CHARACTERS = 8


def token_file(data_dir: Path) -> Path:
    """Return where the token of this data directory is kept."""
    return data_dir / "token"


def generated_token(data_dir: Path) -> str:
    """Return the token kept in `data_dir` (0600), made at the first call.

    Of several processes that call this at the same moment all get the same. Raises
    StorageUnavailable.
    """
    path = token_file(data_dir)
    try:
        if not path.exists():
            _create(path)
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise StorageUnavailable("The generated token can't be read or written.") from error
    if not token:  # it would let in whoever sends none
        raise StorageUnavailable("The file of the generated token is empty: remove it.")
    if len(token) < LEAST_CHARACTERS or not _can_be_sent(token):
        raise StorageUnavailable("The file of the generated token is damaged: remove it.")
    return token


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_directory(path.parent):
        if not path.exists() and not path.is_symlink():  # another process may have been faster
            write_whole(path, secrets.token_urlsafe(32) + "\n")
