import resource
from collections.abc import Callable

import pytest

from app.server import descriptors

Limit = Callable[[int], None]


@pytest.fixture
def limit(monkeypatch: pytest.MonkeyPatch) -> Limit:
    """Return a function that makes it look as if so many descriptors were allowed."""

    def pretend(number: int) -> None:
        monkeypatch.setattr(resource, "getrlimit", lambda _: (number, number))

    return pretend


@pytest.mark.parametrize(("allowed", "uploads"), [(256, 32), (1024, 128), (20_000, 128), (8, 1)])
def test_uploads_use_an_eighth_at_most(limit: Limit, allowed: int, uploads: int) -> None:
    """Each may have a file open."""
    limit(allowed)
    assert descriptors.uploads_at_once(128) == uploads


def test_connections_leave_some_for_the_store(limit: Limit) -> None:
    """Whatever the limit is, unless it is too low for anything."""
    limit(400)
    room = descriptors.room_for_connections(50)
    assert 16 < room <= 400 - 50 - descriptors.RESERVED_FOR_STORE
    limit(resource.RLIM_INFINITY)
    assert descriptors.room_for_connections(50) == descriptors.MOST_CONNECTIONS
    limit(64)
    assert descriptors.room_for_connections(8) == descriptors.LEAST_CONNECTIONS
