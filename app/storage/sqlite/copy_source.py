"""A store in SQLite and segments as the source of a copy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection

from app.storage.copying.interface import (
    MOST_ASKED,
    MOST_NAMED,
    CopiedReplay,
    KeptDelivery,
    Original,
    Tombstone,
)
from app.storage.delivery import Attempt
from app.storage.interface import MessageStore
from app.storage.sqlite.connections import Connections
from app.storage.sqlite.deliveries.attempts import attempts_of
from app.storage.sqlite.deliveries.copied import kept_deliveries
from app.storage.sqlite.deliveries.replaying import replays_with_extent
from app.storage.sqlite.failures import failures_as_unavailable
from app.storage.sqlite.rows import stored_message
from app.storage.sqlite.store import SQLiteStore

_ORIGINALS = "SELECT * FROM message WHERE number > ? AND number <= ? ORDER BY number LIMIT ?"
_TOMBSTONES = "SELECT * FROM deleted WHERE id > ? ORDER BY id LIMIT ?"
_IDS_UP_TO = "SELECT id FROM message WHERE number <= ? ORDER BY number DESC LIMIT ?"


class SQLiteSource:
    """See Source."""

    def __init__(self, data_dir: Path) -> None:
        self.store: MessageStore = SQLiteStore(data_dir)
        self._connections = Connections(data_dir)

    def originals(self, last: int) -> Iterator[Original]:
        """See Source.originals."""
        after = 0
        while True:
            with self._reading() as connection:
                given = (after, last, MOST_ASKED)
                rows = connection.exec_driver_sql(_ORIGINALS, given).all()
            for row in rows:
                yield Original.of(stored_message(row), row.idempotency_key)
            if len(rows) < MOST_ASKED:
                return
            after = rows[-1].number

    def tombstones(self) -> Iterator[Tombstone]:
        """See Source.tombstones."""
        after = ""
        while True:
            with self._reading() as connection:
                rows = connection.exec_driver_sql(_TOMBSTONES, (after, MOST_ASKED)).all()
            for row in rows:
                yield Tombstone(row.id, row.idempotency_key, row.received_at_ms, row.deleted_at_ms)
            if len(rows) < MOST_ASKED:
                return
            after = rows[-1].id

    def deliveries(self, message_ids: Sequence[str]) -> list[KeptDelivery]:
        """See Source.deliveries."""
        with self._reading() as connection:
            return kept_deliveries(connection, message_ids)

    def attempts(self, numbers: Sequence[int]) -> Mapping[int, Sequence[Attempt]]:
        """See Source.attempts."""
        with self._reading() as connection:
            return {number: attempts_of(connection, number) for number in numbers}

    def replays(self) -> list[CopiedReplay]:
        """See Source.replays."""
        with self._reading() as connection:
            return [
                CopiedReplay(
                    replay,
                    _ids_up_to(connection, replay.position),
                    _ids_up_to(connection, last),
                )
                for replay, last in replays_with_extent(connection)
            ]

    def close(self) -> None:
        """See Source.close."""
        self._connections.close()
        self.store.close()

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with failures_as_unavailable(), self._connections.usual.connect() as connection:
            yield connection


def _ids_up_to(connection: Connection, number: int) -> Sequence[str]:
    return connection.exec_driver_sql(_IDS_UP_TO, (number, MOST_NAMED)).scalars().all()
