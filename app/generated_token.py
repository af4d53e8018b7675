"""The bearer token of an installation that configured none."""

import os
import secrets
import tempfile
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
        token = path.read_text().strip()
    except (OSError, UnicodeError) as error:
        raise StorageUnavailable("The generated token can't be read or written.") from error
    if not token:  # it would let in whoever sends none
        raise StorageUnavailable("The file of the generated token is empty: remove it.")
    return token


def _create(path: Path, token: str) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)  # 0600
    with os.fdopen(descriptor, "w") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    with suppress(FileExistsError):  # another process was faster, and its token holds
        os.link(temporary, path)
    Path(temporary).unlink()
    sync_directory(path.parent)
