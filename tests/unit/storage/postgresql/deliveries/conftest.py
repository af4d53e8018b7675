from collections.abc import Iterator
from contextlib import closing

import pytest
from support.postgresql_host import Host


@pytest.fixture
def hosts(database_url: str) -> Iterator[tuple[Host, Host]]:
    """Return the stores of two hosts on one database, with nothing in it."""
    with closing(Host(database_url)) as one, closing(Host(database_url)) as other:
        yield one, other
