"""Each kind of store, for tests that run against all of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.pgbouncer_server import PgBouncer
from support.postgresql_databases import Databases
from support.seaweedfs_server import SeaweedFSServer

from app.settings import Storage
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.storage.postgresql.store import PostgreSQLStore
from app.storage.sqlite.creation import create_store

_LONG = (pytest.mark.server, pytest.mark.thorough)
STORES = (
    *("memory", "sqlite"),
    pytest.param("postgresql", marks=pytest.mark.server),
    *(pytest.param(kind, marks=_LONG) for kind in ("pgbouncer", "objects")),
)
"""The last one is PostgreSQL with an object store that has the bytes of every message."""


@contextmanager
def new_store(kind: str, directory: Path, request: pytest.FixtureRequest) -> Iterator[MessageStore]:
    """Make an empty store; close it, and remove its database, at the end."""
    if kind in {"postgresql", "pgbouncer", "objects"}:
        with _in_a_database(kind, directory, request) as store:
            yield store
        return
    store = MemoryStore() if kind == "memory" else create_store(directory)
    try:
        yield store
    finally:
        store.close()


@contextmanager
def _in_a_database(
    kind: str, directory: Path, request: pytest.FixtureRequest
) -> Iterator[MessageStore]:
    databases: Databases = request.getfixturevalue("databases")
    url = direct = databases.new()
    if kind == "pgbouncer":
        pgbouncer: PgBouncer = request.getfixturevalue("pgbouncer")
        url = pgbouncer.url(direct.rpartition("/")[2])
    objects = None
    if kind == "objects":
        seaweedfs: SeaweedFSServer = request.getfixturevalue("seaweedfs")
        objects = seaweedfs.settings(prefix=direct.rpartition("/")[2])
    directory.mkdir(exist_ok=True)
    store = PostgreSQLStore(Storage(directory, url, objects=objects))
    try:
        yield store
    finally:
        store.close()
        databases.drop(direct)
