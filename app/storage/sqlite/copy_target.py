"""A store in SQLite and segments as the target of a copy."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import cast

from sqlalchemy import Connection

from app.errors import StorageUnavailable
from app.state.lock_file import LockFile
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
from app.storage.segments.directory import NewRecord, Segments
from app.storage.segments.record import DELETION, Deletion, description_of_deletion
from app.storage.segments.spooled_body import SpooledBody
from app.storage.sqlite.connections import Connections
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.deliveries.copied import change_deliveries, kept_deliveries
from app.storage.sqlite.deliveries.replaying import replace_replays
from app.storage.sqlite.deliveries.settlement_files import SettlementWriter, paths
from app.storage.sqlite.deliveries.settlements import SETTLEMENTS
from app.storage.sqlite.failures import cause_of, failures_as_unavailable
from app.storage.sqlite.numbers import next_numbers
from app.storage.sqlite.removal import (
    add_deletions,
    extents_of,
    note_erasures,
    note_read_to,
    remove_with_ids,
)
from app.storage.sqlite.store import SQLiteStore
from app.storage.sqlite.writer import Addition, Writer

_FIND = """
WITH given AS (
    SELECT value ->> 0 AS id, value ->> 1 AS idempotency_key FROM json_each(?)
)
SELECT given.id AS asked, message.id, sha256 FROM given JOIN message USING (id)
UNION ALL
SELECT given.id, message.id, sha256 FROM given JOIN message USING (idempotency_key)
UNION ALL
SELECT given.id, deleted.id, NULL FROM given JOIN deleted USING (id)
UNION ALL
SELECT given.id, deleted.id, NULL FROM given JOIN deleted USING (idempotency_key)
"""
_KNOWN = "SELECT id FROM deleted WHERE id IN (SELECT value FROM json_each(?))"
_KEYS_IN_USE = """
SELECT idempotency_key, id FROM message
WHERE idempotency_key IN (SELECT value FROM json_each(?))
"""
_LAST_OF = """
SELECT coalesce(max(number), 0) FROM message WHERE id IN (SELECT value FROM json_each(?))
"""


class SQLiteTarget:
    """See Target."""

    def __init__(self, data_dir: Path) -> None:
        """Use the store that `create_store` has made."""
        self.store: MessageStore = SQLiteStore(data_dir)
        self._data_dir = data_dir
        self._connections = Connections(data_dir)
        self._engine = self._connections.usual
        self._lock_file = data_dir / "commit.lock"
        self._segments = Segments(data_dir / "segments")
        self._writer = Writer(
            self._engine, self._segments, self._lock_file, self._connections.note_failure
        )
        self._segments_of_deletions = Segments(data_dir / "segments")
        self._settlements = SettlementWriter(data_dir / SETTLEMENTS)

    def find(self, originals: Sequence[Original]) -> Mapping[str, Found]:
        """See Target.find."""
        asked = [(each.message.message_id, each.message.idempotency_key) for each in originals]
        with failures_as_unavailable(), self._engine.connect() as connection:
            rows = connection.exec_driver_sql(_FIND, (json.dumps(asked),)).all()
        # Living ones before deleted ones, and ids before keys.
        return {row.asked: Found(row.id, row.sha256) for row in reversed(rows)}

    def add(self, messages: Sequence[tuple[Message, Body]]) -> None:
        """See Target.add."""
        try:
            additions = [Addition(each, cast(SpooledBody, body)) for each, body in messages]
            self._writer.commit(additions)
        finally:
            for _, body in messages:
                body.discard()
        for addition in additions:
            if addition.error is not None:
                raise StorageUnavailable from cause_of(addition.error)

    def checksums(self, message_ids: Sequence[str]) -> Mapping[str, bytes]:
        """See Target.checksums."""
        return read_checksums(self.store, message_ids)

    def bury(self, tombstones: Sequence[Tombstone]) -> Buried:
        """See Target.bury."""
        with self._writing() as (connection, lock):
            new = _unknown(connection, tombstones)
            if not new:
                return Buried()
            deletions = _deletions(new, next_numbers(lock, connection, len(new)))
            last = self._segments_of_deletions.append(list(map(_record, deletions)))[-1].content
            rows = remove_with_ids(connection, [each.message_id for each in new])
            if rows:
                note_erasures(connection, extents_of(connection, rows))
            add_deletions(connection, deletions)
            note_read_to(connection, {last.segment: (last.end, deletions[-1].number)})
            return Buried(len(new), len(rows))

    def deliveries(self, message_ids: Sequence[str]) -> list[KeptDelivery]:
        """See Target.deliveries."""
        with failures_as_unavailable(), self._engine.connect() as connection:
            return kept_deliveries(connection, message_ids)

    def change_deliveries(self, changes: Sequence[DeliveryChange]) -> None:
        """See Target.change_deliveries."""
        with self._writing() as (connection, lock):

            def new_numbers(count: int) -> Sequence[int]:
                return next_numbers(lock, connection, count)

            settlements = change_deliveries(connection, changes, new_numbers)
            if settlements:
                self._settlements.append(new_numbers(1)[0], settlements)

    def replace_replays(self, replays: Sequence[CopiedReplay]) -> None:
        """See Target.replace_replays."""
        with self._writing() as (connection, _):
            replace_replays(connection, [_translated(connection, each) for each in replays])

    def finish(self) -> None:
        """See Target.finish."""
        self.store.erase()
        # Messages and deletions are durable, deliveries and replays not yet.
        with failures_as_unavailable():
            for path in (_log_of(self._data_dir), *paths(self._settlements.directory)):
                _sync(path)

    def close(self) -> None:
        """See Target.close."""
        self._writer.close()
        self._segments.close()
        self._segments_of_deletions.close()
        self._settlements.close()
        self._connections.close()
        self.store.close()

    @contextmanager
    def _writing(self) -> Iterator[tuple[Connection, LockFile]]:
        lock = LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)
        with (
            failures_as_unavailable(),
            closing(lock),
            lock.held(),
            self._engine.begin() as connection,
        ):
            yield connection, lock


def _unknown(connection: Connection, tombstones: Sequence[Tombstone]) -> list[Tombstone]:
    """Return those that aren't there, and whose key no other message has."""
    ids = json.dumps([each.message_id for each in tombstones])
    known = set(connection.exec_driver_sql(_KNOWN, (ids,)).scalars())
    keys = json.dumps([each.idempotency_key for each in tombstones])
    # A rebuilt index would take a message for deleted that has the key of a later deletion.
    in_use = {
        row.idempotency_key: row.id for row in connection.exec_driver_sql(_KEYS_IN_USE, (keys,))
    }
    return [
        each
        for each in tombstones
        if each.message_id not in known
        if in_use.get(each.idempotency_key, each.message_id) == each.message_id
    ]


def _deletions(tombstones: Sequence[Tombstone], numbers: Sequence[int]) -> list[Deletion]:
    return [
        Deletion(
            number,
            each.message_id,
            each.idempotency_key,
            each.received_at_ms,
            each.deleted_at_ms,
            COPY,
        )
        for number, each in zip(numbers, tombstones, strict=True)
    ]


def _record(deletion: Deletion) -> NewRecord:
    return NewRecord(DELETION, deletion.number, description_of_deletion(deletion))


def _translated(connection: Connection, copied: CopiedReplay) -> tuple[Replay, int]:
    position, last = (
        connection.exec_driver_sql(_LAST_OF, (json.dumps(list(ids)),)).scalar_one()
        for ids in (copied.processed, copied.included)
    )
    return replace(copied.replay, position=position), last


def _log_of(data_dir: Path) -> Path:
    database = (data_dir / "gomail.db").resolve()
    return database.with_name(database.name + "-wal")


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
