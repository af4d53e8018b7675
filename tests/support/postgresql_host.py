"""The store of one of several hosts that share a database."""

from pathlib import Path

from sqlalchemy import Engine

from app.settings import Storage
from app.storage.postgresql.store import PostgreSQLStore


class Host(PostgreSQLStore):
    """A store for small messages, with connections for ten threads."""

    def __init__(self, url: str) -> None:
        super().__init__(Storage(Path(), url, pool_size=10))

    @property
    def engine(self) -> Engine:
        """What makes its connections."""
        return self._connections.engine
