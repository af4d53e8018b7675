"""A plugin for pytest: empty databases on one PostgreSQL server for all tests that use some."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, create_engine
from support.pgbouncer_server import PgBouncer
from support.postgresql_server import PostgreSQLServer

from app.settings import Storage
from app.storage.postgresql.preparation import PLACE, prepare


class Databases:
    """Copies of a database that has all tables, and nothing in them."""

    def __init__(self, server: PostgreSQLServer, directory: Path) -> None:
        self.server = server
        server.execute("CREATE DATABASE empty_store")
        prepare(Storage(directory, server.url("empty_store")))
        self._made = 0

    def new(self) -> str:
        """Return the URL of a new one."""
        self._made += 1
        name = f"store{self._made}"
        self.server.execute(f"CREATE DATABASE {name} TEMPLATE empty_store")
        self.server.execute(f"UPDATE store SET place = {PLACE}", name)  # else it was a restored one
        return self.server.url(name)

    def drop(self, url: str) -> None:
        """Remove one, and end the connections to it."""
        self.server.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")


def engine_of(url: str, pool_size: int = 10) -> Engine:
    """Return an engine of its own, as another process would have."""
    return create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url, prepare_threshold=None, connect_timeout=5),
        pool_size=pool_size,
        max_overflow=0,
    )


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Start the server; it analyzes nothing by itself, which would hold up readers by chance."""
    with PostgreSQLServer(autovacuum="off") as server:
        yield Databases(server, tmp_path_factory.mktemp("databases"))


@pytest.fixture(scope="session")
def pgbouncer(databases: Databases) -> Iterator[PgBouncer]:
    """Start a PgBouncer before that server."""
    with PgBouncer(databases.server) as started:
        yield started


@pytest.fixture
def database_url(databases: Databases) -> Iterator[str]:
    """Return the URL of an empty database."""
    url = databases.new()
    yield url
    databases.drop(url)
