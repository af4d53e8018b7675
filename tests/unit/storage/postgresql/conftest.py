"""Stores in one database, as several hosts have them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from app.settings import Storage
from app.storage.postgresql.store import PostgreSQLStore

NewStore = Callable[[], PostgreSQLStore]


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Storage:
    """Return the settings of a store in an empty database."""
    return Storage(tmp_path, database_url, timeout=2)


@pytest.fixture
def new_store(settings: Storage) -> Iterator[NewStore]:
    """Return a function that opens the store once more, as another process would."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(PostgreSQLStore(settings)))


@pytest.fixture
def store(new_store: NewStore) -> PostgreSQLStore:
    """Return an empty store."""
    return new_store()
