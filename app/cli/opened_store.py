"""Opens the store for a command, or ends the command with a line that says why it can't."""

import os
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from app.cli.options import inspect_and_name_file
from app.errors import GoMailError, StorageUnavailable
from app.settings import Settings, Storage
from app.storage.factory import has_store, open_store, place_of
from app.storage.interface import MessageStore
from app.storage.preparation import has_index, prepare_store


@contextmanager
def opened_store(config: Path | None) -> Iterator[MessageStore]:
    """Open the store, or end with 1 and the reason; so do failures of what is done with it."""
    with opened(storage_settings(config)) as store:
        yield store


@contextmanager
def opened(settings: Storage, *, to_write: bool = False) -> Iterator[MessageStore]:
    """Open the store of `settings` like `opened_store`; `to_write` refuses the wrong user."""
    with failures_end_the_command(settings):
        exit_if_empty(settings)
        if to_write:
            exit_if_root_would_own(settings)
        if not has_index(settings):
            sys.exit(
                f"gomail.db is missing in {settings.data_dir}, though there is mail: start the"
                " server, or run `flask gomail store reindex`."
            )
        with closing(open_store(settings)) as store:
            yield store


@contextmanager
def completed_store(config: Path | None) -> Iterator[MessageStore]:
    """Open the store like `opened_store`, with everything that is in segments in its index.

    After a power cut or a restore, messages may be missing there that the next start brings back.
    """
    settings = storage_settings(config)
    with failures_end_the_command(settings):
        exit_if_empty(settings)
        exit_if_root_would_own(settings)
        if settings.database_url is None:
            prepare_store(settings)
        with closing(open_store(settings)) as store:
            yield store


def storage_settings(config: Path | None) -> Storage:
    """Return the settings of the store, or end with 1 and what is wrong with them."""
    return valid_settings(config).storage


def valid_settings(config: Path | None) -> Settings:
    """Return the settings, or end with 1 and what is wrong with them."""
    inspection = inspect_and_name_file(config)
    if inspection.settings is None:
        sys.exit("\n".join(map(str, inspection.errors)))
    return inspection.settings


@contextmanager
def failures_end_the_command(settings: Storage) -> Iterator[None]:
    """End the command with 1 and a line for an error of the store or of files."""
    try:
        yield
    except StorageUnavailable as error:
        if settings.database_url is not None:
            sys.exit(f"The store in {place_of(settings)} can't be used: {error.__cause__ or error}")
        if error.__cause__ is None or isinstance(error.__cause__, BlockingIOError):
            reason = getattr(error.__cause__, "strerror", None) or error
            sys.exit(f"The store in {settings.data_dir} can't be used: {reason}")
        sys.exit(
            f"The store in {settings.data_dir} can't be opened: {error.__cause__}. Run"
            " this as the user of the server: even reading needs write permission."
        )
    except GoMailError as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(f"{error.filename}: {error.strerror}")


def exit_if_empty(settings: Storage) -> None:
    """End with 1 when nothing was ever stored; raises OSError, StorageUnavailable."""
    if not has_store(settings):
        sys.exit(f"Nothing is stored in {place_of(settings)} yet.")


def exit_if_root_would_own(settings: Storage) -> None:
    """End with 1 when root would leave files that the server can't read; raises OSError."""
    if settings.database_url is not None:
        return
    owner = (settings.data_dir / "segments").stat().st_uid
    if os.geteuid() == 0 and owner != 0:
        sys.exit(
            f"{settings.data_dir} belongs to the user with the id {owner}, who couldn't read what"
            " root writes to it: run this as that user."
        )
