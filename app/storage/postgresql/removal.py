"""Deletes messages: their rows stay without what was in them, to recognize repeats.

The bytes of a deleted message are in the files of the database until VACUUM has run.
"""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.ids import milliseconds_since_epoch
from app.storage.message import Reason
from app.storage.objects.store import Objects
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.search import is_id

MOST_AT_ONCE = 500
_MOST_FORGOTTEN = 5000

_log = logging.getLogger("gomail")

# Rows are locked in the order in which others lock them: messages by key, deliveries by number.
_LOCK_MESSAGES = """
SELECT number, id FROM message WHERE id = ANY(%b::uuid[]) AND deleted_at_ms IS NULL
ORDER BY idempotency_key FOR UPDATE
"""
_LOCK_DELIVERIES = """
SELECT message_number, state IN ('pending', 'dead') AS is_undone FROM delivery
WHERE message_number = ANY(%b::bigint[]) ORDER BY number FOR UPDATE
"""
# A trigger removes their attempts.
_REMOVE_DELIVERIES = "DELETE FROM delivery WHERE message_number = ANY(%b::bigint[])"
_REMOVE_CONTENTS = "DELETE FROM message_part WHERE message_number = ANY(%b::bigint[])"
_BLANK = """
WITH removed AS (
    SELECT number, size, object_key FROM message WHERE number = ANY(%b::bigint[])
),
blanked AS (
    UPDATE message SET deleted_at_ms = %b, sender = '', recipient = '', sender_key = '',
        recipient_key = '', subject = '', folded_subject = '', mail_from = NULL, queue_id = NULL,
        client_address = NULL, client_hostname = NULL, helo = NULL, size = 0, sha256 = '',
        object_key = NULL
    WHERE number IN (SELECT number FROM removed)
),
objects AS (
    INSERT INTO erasure (object_key)
    SELECT object_key FROM removed WHERE object_key IS NOT NULL
)
INSERT INTO tally (name, change)
SELECT name, change
FROM (SELECT count(*) AS messages, sum(size)::bigint AS bytes FROM removed) AS gone,
    LATERAL (VALUES ('messages', -messages), ('bytes', -bytes), (%b::text, messages))
        AS change (name, change)
"""
_ERASURES = "SELECT object_key FROM erasure ORDER BY object_key LIMIT %b"
# Several hosts may have erased the same ones: so all lock these in one order.
_ERASED = """
DELETE FROM erasure WHERE object_key = ANY(ARRAY(
    SELECT object_key FROM erasure WHERE object_key = ANY(%b::text[])
    ORDER BY object_key FOR UPDATE
))
"""
# In the order of others too, since even SKIP LOCKED may wait for a row that changes at that moment.
# When another host has locked all of these, it forgets them; the rest is left for the next turn.
_FORGET = """
DELETE FROM message WHERE number = ANY(ARRAY(
    SELECT number FROM message WHERE number = ANY(ARRAY(
        SELECT number FROM message WHERE deleted_at_ms < %b ORDER BY deleted_at_ms LIMIT %b
    ))
    ORDER BY idempotency_key FOR UPDATE SKIP LOCKED
))
"""


class Removal:
    """Every method raises SQLAlchemyError, StorageUnavailable."""

    def __init__(
        self,
        connections: Connections,
        objects: Objects | None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connections = connections
        self._objects = objects
        self._clock = clock

    def remove(self, message_ids: Sequence[str], reason: Reason) -> list[str]:
        """See MessageStore.remove."""
        ids = list(filter(is_id, dict.fromkeys(message_ids)))
        removed = []
        for at in range(0, len(ids), MOST_AT_ONCE):
            with self._connections.durable_transaction() as connection:
                removed += self.remove_on(connection, ids[at : at + MOST_AT_ONCE], reason)
        return removed

    def erase(self) -> None:
        """Delete the objects of removed messages."""
        with self._connections.statements() as connection:
            if self._objects is None:
                _warn_if_any(connection.exec_driver_sql(_ERASURES, (1,)).all())
                return
            while names := connection.exec_driver_sql(_ERASURES, (MOST_AT_ONCE,)).scalars().all():
                self._objects.remove(names)
                connection.exec_driver_sql(_ERASED, (names,))

    def forget(self, before: datetime) -> None:
        """See MessageStore.forget_deleted."""
        parameters = (milliseconds_since_epoch(before), _MOST_FORGOTTEN)
        with self._connections.statements() as connection:
            while connection.exec_driver_sql(_FORGET, parameters).rowcount:
                pass

    def remove_on(self, connection: Connection, ids: Sequence[str], reason: str) -> list[str]:
        """Delete up to MOST_AT_ONCE messages in a transaction of the caller, and return their ids.

        A `reason` that isn't one of Reason isn't counted in the statistics.
        """
        found = connection.exec_driver_sql(_LOCK_MESSAGES, (list(ids),)).all()
        undone = _lock_deliveries(connection, found)
        if reason == Reason.RETENTION:
            found = [row for row in found if row.number not in undone]
        if not found:
            return []
        numbers = [row.number for row in found]
        connection.exec_driver_sql(_REMOVE_CONTENTS, (numbers,))
        connection.exec_driver_sql(_REMOVE_DELIVERIES, (numbers,))
        now = int(self._clock() * 1000)
        connection.exec_driver_sql(_BLANK, (numbers, now, f"deleted_{reason}"))
        return [str(row.id) for row in found]


def _warn_if_any(objects: Sequence[object]) -> None:
    if objects:
        _log.warning(
            "Deleted mail is still in the object store: set object_store_url, so that it is erased"
        )


def _lock_deliveries(connection: Connection, messages: Sequence[Row[Any]]) -> set[int]:
    """Return the numbers of the messages that have pending or dead deliveries."""
    numbers = [row.number for row in messages]
    rows = connection.exec_driver_sql(_LOCK_DELIVERIES, (numbers,))
    return {row.message_number for row in rows if row.is_undone}
