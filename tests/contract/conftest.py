"""The stores that the contract suites run against."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.stores import STORES, new_store

from app.storage.interface import MessageStore


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, data_dir: Path) -> Iterator[MessageStore]:
    """Return each kind of store in turn, with nothing in it."""
    with new_store(request.param, data_dir, request) as made:
        yield made
