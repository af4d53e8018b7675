"""The id that distinguishes a store from all others, and survives the loss of its index."""

import secrets
from pathlib import Path

from app.errors import StorageUnavailable
from app.state.small_files import locked_directory, write_whole

_BYTES = 8
_DAMAGED = "The file store-id is damaged: remove it; readers then have to start over."


def store_id_file(data_dir: Path) -> Path:
    """Return the path of the file that holds the id."""
    return data_dir / "store-id"


def store_id(data_dir: Path) -> bytes:
    """Return the id, 8 random bytes, creating it on the first call.

    Processes that call this at the same moment all get the same id. Raises OSError, and
    StorageUnavailable if the file is damaged.
    """
    path = store_id_file(data_dir)
    if not path.exists():
        with locked_directory(data_dir):
            if not path.exists():  # another process may have been faster
                write_whole(path, secrets.token_hex(_BYTES) + "\n")
    text = path.read_bytes().strip()
    try:
        found = bytes.fromhex(text.decode("ascii"))
    except ValueError as error:
        raise StorageUnavailable(_DAMAGED) from error
    if len(found) != _BYTES:
        raise StorageUnavailable(_DAMAGED)
    return found
