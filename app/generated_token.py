"""The bearer token of an installation that configured none."""

import os
import secrets
from contextlib import suppress
from pathlib import Path

from app.errors import StorageUnavailable
from app.storage.segments import sync_directory


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
            _create(path, secrets.token_urlsafe(32))
        return path.read_text().strip()
    except OSError as error:
        raise StorageUnavailable("The generated token can't be read or written.") from error


def _create(path: Path, token: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f"token.{os.getpid()}")
    with os.fdopen(os.open(temporary, os.O_CREAT | os.O_TRUNC | os.O_WRONLY, 0o600), "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # another process was faster, and its token holds
        os.link(temporary, path)
    temporary.unlink()
    sync_directory(path.parent)
