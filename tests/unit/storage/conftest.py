from collections.abc import Iterator
from pathlib import Path

import pytest

from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore


@pytest.fixture
def store(data_dir: Path) -> Iterator[SQLiteStore]:
    """Return a new store in `data_dir`."""
    store = create_store(data_dir)
    yield store
    store.close()
