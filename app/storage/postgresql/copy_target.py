"""A store in PostgreSQL as the target of a copy."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import cast

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.body import Body
from app.storage.copying.checksums import read_checksums
from app.storage.copying.interface import (
    COPY,
    Buried,
    CopiedReplay,
    DeliveryChange,
    Found,
    KeptDelivery,
    Original,
    Tombstone,
)
from app.storage.delivery import Replay
from app.storage.interface import MessageStore
from app.storage.message import Message
from app.storage.postgresql.addition import Addition
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.deliveries.copied import change_deliveries, kept_deliveries
from app.storage.postgresql.deliveries.replaying import replace_replays
from app.storage.postgresql.failures import cause_of, failures_as_unavailable
from app.storage.postgresql.numbers import NEXT
from app.storage.postgresql.removal import Removal
from app.storage.postgresql.spooled_body import LARGE_MESSAGE_BYTES, SpooledBody
from app.storage.postgresql.store import PostgreSQLStore
from app.storage.postgresql.texts import stored_key
from app.storage.postgresql.writer import Writer

_SECONDS = 60
"""The time limit of a statement, of which some are about hundreds of messages."""

# What counts most comes last: living ones, and of these the one with the same id.
_FIND = """
WITH given AS (SELECT * FROM unnest(%b::uuid[], %b::text[]) AS given (id, idempotency_key)),
found AS (
    SELECT given.id AS asked, message.id, sha256, deleted_at_ms
    FROM given JOIN message USING (idempotency_key)
    UNION
    SELECT given.id, message.id, sha256, deleted_at_ms FROM given JOIN message USING (id)
)
SELECT * FROM found ORDER BY deleted_at_ms IS NULL, id = asked
"""
# Large ones would take several times their size in the server's memory.
_CHECKSUMS = """
SELECT id, sha256(coalesce(string_agg(content, '' ORDER BY part), '')) AS checksum
FROM message LEFT JOIN message_part ON message_number = number
WHERE id = ANY(%b::uuid[]) AND size <= %b GROUP BY id
"""
_KEEP_TIMES = """
UPDATE message SET deleted_at_ms = given.deleted_at_ms
FROM unnest(%b::uuid[], %b::bigint[]) AS given (id, deleted_at_ms)
WHERE message.id = given.id AND message.id = ANY(%b::uuid[])
"""
_BURY = f"""
INSERT INTO message
    (number, id, idempotency_key, received_at_ms, deleted_at_ms, sender, recipient, sender_key,
    recipient_key, subject, folded_subject, size, sha256)
SELECT {NEXT} + place, id, idempotency_key, received_at_ms, deleted_at_ms,
    '', '', '', '', '', '', 0, ''
FROM unnest(%b::uuid[], %b::text[], %b::bigint[], %b::bigint[]) WITH ORDINALITY
    AS given (id, idempotency_key, received_at_ms, deleted_at_ms, place)
ORDER BY idempotency_key COLLATE "C" ON CONFLICT DO NOTHING
"""
_LAST_OF = "SELECT coalesce(max(number), 0) FROM message WHERE id = ANY(%b::uuid[])"


class PostgreSQLTarget:
    """See Target."""

    def __init__(self, settings: Storage) -> None:
        """Use the store that `prepare` has prepared."""
        self.store: MessageStore = PostgreSQLStore(settings)
        self._connections = Connections(settings, _SECONDS)
        self._writer = Writer(self._connections)
        self._removal = Removal(self._connections, None)

    def find(self, originals: Sequence[Original]) -> Mapping[str, Found]:
        """See Target.find."""
        messages = [each.message for each in originals]
        given = (
            [each.message_id for each in messages],
            [stored_key(each.idempotency_key) for each in messages],
        )
        with failures_as_unavailable(), self._connections.statements() as connection:
            rows = connection.exec_driver_sql(_FIND, given).all()
        return {
            str(row.asked): Found(str(row.id), row.sha256 if row.deleted_at_ms is None else None)
            for row in rows
        }

    def add(self, messages: Sequence[tuple[Message, Body]]) -> None:
        """See Target.add."""
        try:
            additions = [Addition(each, cast(SpooledBody, body)) for each, body in messages]
            # One transaction after the other, since their order is that of the numbers.
            for is_large, some in groupby(additions, lambda each: each.body.is_large):
                if is_large:
                    self._add_large(list(some))
                else:
                    self._add_group(list(some))
        finally:
            for _, body in messages:
                body.discard()

    def checksums(self, message_ids: Sequence[str]) -> Mapping[str, bytes]:
        """See Target.checksums."""
        with failures_as_unavailable(), self._connections.statements() as connection:
            rows = connection.exec_driver_sql(_CHECKSUMS, (list(message_ids), LARGE_MESSAGE_BYTES))
            found = {str(row.id): row.checksum for row in rows}
        large = [each for each in message_ids if each not in found]
        return {**found, **read_checksums(self.store, large)}

    def bury(self, tombstones: Sequence[Tombstone]) -> Buried:
        """See Target.bury."""
        ids = [each.message_id for each in tombstones]
        deleted_at_ms = [each.deleted_at_ms for each in tombstones]
        given = (
            ids,
            [stored_key(each.idempotency_key) for each in tombstones],
            [each.received_at_ms for each in tombstones],
            deleted_at_ms,
        )
        with failures_as_unavailable(), self._connections.durable_transaction() as connection:
            removed = self._removal.remove_on(connection, ids, COPY)
            connection.exec_driver_sql(_KEEP_TIMES, (ids, deleted_at_ms, removed))
            new = connection.exec_driver_sql(_BURY, given).rowcount
        return Buried(new + len(removed), len(removed))

    def deliveries(self, message_ids: Sequence[str]) -> list[KeptDelivery]:
        """See Target.deliveries."""
        with failures_as_unavailable(), self._connections.statements() as connection:
            return kept_deliveries(connection, message_ids)

    def change_deliveries(self, changes: Sequence[DeliveryChange]) -> None:
        """See Target.change_deliveries."""
        with failures_as_unavailable(), self._connections.durable_transaction() as connection:
            change_deliveries(connection, changes)

    def replace_replays(self, replays: Sequence[CopiedReplay]) -> None:
        """See Target.replace_replays."""
        with failures_as_unavailable(), self._connections.durable_transaction() as connection:
            replace_replays(connection, [_translated(connection, each) for each in replays])

    def finish(self) -> None:
        """See Target.finish."""
        self.store.erase()  # everything was durable when it was committed

    def close(self) -> None:
        """See Target.close."""
        self._connections.close()
        self.store.close()

    def _add_group(self, additions: Sequence[Addition]) -> None:
        self._writer.commit(additions)
        for each in additions:
            if isinstance(each.error, SQLAlchemyError):
                raise StorageUnavailable from cause_of(each.error)
            if each.error is not None:
                raise each.error

    def _add_large(self, additions: Sequence[Addition]) -> None:
        for each in additions:
            with failures_as_unavailable():
                self._writer.store_large(each)


def _translated(connection: Connection, copied: CopiedReplay) -> tuple[Replay, int]:
    position, last = (
        connection.exec_driver_sql(_LAST_OF, (list(ids),)).scalar_one()
        for ids in (copied.processed, copied.included)
    )
    return replace(copied.replay, position=position), last
