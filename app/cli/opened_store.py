"""Opens the store for a command, or ends the command with a line that says why it can't."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.cli.options import inspect_and_name_file
from app.errors import GoMailError, StorageUnavailable
from app.storage.factory import has_store, open_store
from app.storage.interface import MessageStore


@contextmanager
def opened_store(config: Path | None) -> Iterator[MessageStore]:
    """Open the store, or end with 1 and the reason; so do failures of what is done with it."""
    inspection = inspect_and_name_file(config)
    if inspection.settings is None:
        sys.exit("\n".join(map(str, inspection.errors)))
    settings = inspection.settings.storage
    try:
        if not has_store(settings):
            sys.exit(f"Nothing is stored in {settings.data_dir} yet.")
        with closing(open_store(settings)) as store:
            yield store
    except StorageUnavailable as error:
        sys.exit(
            f"The store in {settings.data_dir} can't be opened: {error.__cause__ or error}. Run"
            " this as the user of the server: even reading needs write permission."
        )
    except GoMailError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")
