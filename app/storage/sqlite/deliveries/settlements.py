"""Records settled deliveries outside the database, so that a rebuilt one doesn't repeat them.

Deliveries of replays aren't recorded, since only the database knows about replays.
"""

import heapq
import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Row

from app.storage.delivery import Result, State
from app.storage.ids import milliseconds_since_epoch
from app.storage.sqlite.deliveries.settlement_files import (
    Settlement,
    lines,
    paths,
    unless_written,
)

SETTLEMENTS = "settlements"
"""The name of their directory in the data directory."""
_LINES_AT_ONCE = 200
_IDS_AT_ONCE = 500

SETTLED = """
SELECT json_extract(given.value, '$[2]') AS state, json_extract(given.value, '$[3]') AS at_ms,
    json_extract(given.value, '$[4]') AS reason, delivery.number
FROM json_each(?) AS given
CROSS JOIN message ON message.id = json_extract(given.value, '$[0]')
CROSS JOIN delivery ON delivery.message_number = message.number
WHERE delivery.endpoint = json_extract(given.value, '$[1]') AND delivery.is_replay = 0
"""
_SETTLE = "UPDATE delivery SET state = ?, settled_at_ms = ?, reason = ? WHERE number = ?"
IS_STORED = "SELECT 1 FROM message WHERE id IN (SELECT value FROM json_each(?)) LIMIT 1"


def settlements_of(results: Sequence[Result], now: datetime) -> list[Settlement]:
    """Return the settlements in results."""
    return [
        Settlement(
            each.claim.delivery.message_id,
            each.claim.delivery.endpoint,
            each.state,
            milliseconds_since_epoch(now),
            None if each.state is State.DELIVERED else each.reason,
        )
        for each in results
        if each.state is not State.PENDING and not each.claim.delivery.is_replay
    ]


def settlements_in(rows: Sequence[Row[Any]], now: datetime) -> list[Settlement]:
    """Return the settlements of rows that were discarded, made dead or retried."""
    at_ms = milliseconds_since_epoch(now)
    return [
        Settlement(row.message_id, row.endpoint, row.state, at_ms, row.reason)
        for row in rows
        if not row.is_replay
    ]


def apply_settlements(engine: Engine, directory: Path) -> None:
    """Apply all settlements to a rebuilt database; raises OSError, SQLAlchemyError."""
    merged = heapq.merge(*map(lines, paths(directory)), key=lambda line: line[0])
    while some := list(islice(merged, _LINES_AT_ONCE)):
        # Of several settlements of a delivery, the last one counts.
        latest = {(each.message_id, each.endpoint): each for _, settled in some for each in settled}
        with engine.begin() as connection:
            _settle(connection, list(latest.values()))


def _settle(connection: Connection, settlements: Sequence[Settlement]) -> None:
    found = connection.exec_driver_sql(SETTLED, (json.dumps(settlements),)).all()
    values = [
        (row.state, None if row.state == State.PENDING else row.at_ms, row.reason, row.number)
        for row in found
    ]
    if values:
        connection.exec_driver_sql(_SETTLE, values)


def forget_settlements(engine: Engine, directory: Path) -> None:
    """Remove files whose messages have all been deleted, except those being written.

    Raises OSError, SQLAlchemyError.
    """
    for path in paths(directory):
        with unless_written(path) as is_free, engine.connect() as connection:
            if is_free and not _is_needed(connection, path):
                path.unlink(missing_ok=True)


def _is_needed(connection: Connection, path: Path) -> bool:
    return any(
        connection.exec_driver_sql(IS_STORED, (json.dumps(ids),)).first()
        for ids in _message_ids(path)
    )


def _message_ids(path: Path) -> Iterator[list[str]]:
    ids = (each.message_id for _, settled in lines(path) for each in settled)
    while some := list(islice(ids, _IDS_AT_ONCE)):
        yield some
