"""The tokens that GoMail generates where none is configured."""

import secrets
from pathlib import Path

from app.auth.tokens import TokenKind
from app.errors import StorageUnavailable
from app.state.small_files import locked_directory, write_whole

# The minimum for configured tokens as well; a shorter one means that the file was damaged.
LEAST_CHARACTERS = 8

_FILES = {TokenKind.BEARER: "token", TokenKind.API: "api-token"}


def token_file(data_dir: Path, kind: TokenKind) -> Path:
    """Return the path of the file in `data_dir` that holds the generated token of `kind`."""
    return data_dir / _FILES[kind]


def generated_token(data_dir: Path, kind: TokenKind) -> str:
    """Return the token of `kind` kept in `data_dir` (0600), creating it on the first call.

    Processes that call this at the same moment all get the same token. Raises
    StorageUnavailable.
    """
    path = token_file(data_dir, kind)
    try:
        if not path.exists():
            _create(path)
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise StorageUnavailable(f"The generated {kind} can't be read or written.") from error
    if not token:  # an empty token would authenticate a client that sends none
        raise StorageUnavailable(f"The file of the generated {kind} is empty: remove it.")
    if len(token) < LEAST_CHARACTERS or not _can_be_sent(token):
        raise StorageUnavailable(f"The file of the generated {kind} is damaged: remove it.")
    return token


def _can_be_sent(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _create(path: Path) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked_directory(path.parent):
        if not path.exists() and not path.is_symlink():  # another process may have been faster
            write_whole(path, secrets.token_urlsafe(32) + "\n")
