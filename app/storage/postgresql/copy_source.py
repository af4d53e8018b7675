"""A store in PostgreSQL as the source of a copy."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection

from app.settings import Storage
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
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.deliveries.copied import attempts_of_all, kept_deliveries
from app.storage.postgresql.deliveries.replaying import replays_with_extent
from app.storage.postgresql.failures import failures_as_unavailable
from app.storage.postgresql.rows import SHOWN, stored_message
from app.storage.postgresql.store import PostgreSQLStore
from app.storage.postgresql.texts import original_text

_ORIGINALS = f"""
SELECT {SHOWN}, idempotency_key FROM message
WHERE deleted_at_ms IS NULL AND number > %b AND number <= %b ORDER BY number LIMIT %b
"""
_TOMBSTONES = """
SELECT id, idempotency_key, received_at_ms, deleted_at_ms, number FROM message
WHERE deleted_at_ms IS NOT NULL AND (deleted_at_ms, number) > (%b, %b)
ORDER BY deleted_at_ms, number LIMIT %b
"""
_IDS_UP_TO = """
SELECT id FROM message WHERE deleted_at_ms IS NULL AND number <= %b ORDER BY number DESC LIMIT %b
"""


class PostgreSQLSource:
    """See Source."""

    def __init__(self, settings: Storage) -> None:
        self.store: MessageStore = PostgreSQLStore(settings)
        self._connections = Connections(settings)

    def originals(self, last: int) -> Iterator[Original]:
        """See Source.originals."""
        after = 0
        while True:
            with self._reading() as connection:
                given = (after, last, MOST_ASKED)
                rows = connection.exec_driver_sql(_ORIGINALS, given).all()
            for row in rows:
                yield Original.of(stored_message(row), original_text(row.idempotency_key))
            if len(rows) < MOST_ASKED:
                return
            after = rows[-1].number

    def tombstones(self) -> Iterator[Tombstone]:
        """See Source.tombstones."""
        after = (-1, 0)
        while True:
            with self._reading() as connection:
                rows = connection.exec_driver_sql(_TOMBSTONES, (*after, MOST_ASKED)).all()
            for row in rows:
                key = original_text(row.idempotency_key)
                yield Tombstone(str(row.id), key, row.received_at_ms, row.deleted_at_ms)
            if len(rows) < MOST_ASKED:
                return
            after = rows[-1].deleted_at_ms, rows[-1].number

    def deliveries(self, message_ids: Sequence[str]) -> list[KeptDelivery]:
        """See Source.deliveries."""
        with self._reading() as connection:
            return kept_deliveries(connection, message_ids)

    def attempts(self, numbers: Sequence[int]) -> Mapping[int, Sequence[Attempt]]:
        """See Source.attempts."""
        with self._reading() as connection:
            return attempts_of_all(connection, numbers)

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
        with failures_as_unavailable(), self._connections.statements() as connection:
            yield connection


def _ids_up_to(connection: Connection, number: int) -> list[str]:
    found = connection.exec_driver_sql(_IDS_UP_TO, (number, MOST_NAMED)).scalars()
    return list(map(str, found))
