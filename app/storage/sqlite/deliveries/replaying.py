"""Runs replays in pieces; each function is part of a caller's transaction."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.delivery import Replay
from app.storage.delivery_queue import MOST_ADVANCED
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.interface import Query
from app.storage.sqlite.counters import set_to
from app.storage.sqlite.queries import selection
from app.storage.sqlite.removal import LOG_HAS_DELETED

_ADD = """
INSERT INTO replay (endpoint, since_ms, until_ms, recipient, rate, position, last)
VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING number
"""
_LAST = "SELECT coalesce(max(number), 0) FROM message"
_ALL = "SELECT * FROM replay ORDER BY number"
_ONE = "SELECT * FROM replay WHERE number = ?"
_KEEP_POSITION = "UPDATE replay SET position = ? WHERE number = ?"
_REMOVE = "DELETE FROM replay WHERE number = ?"
WAITING = """
SELECT message_number FROM delivery INDEXED BY delivery_message
WHERE message_number IN (SELECT value FROM json_each(?)) AND endpoint = ? AND state = 'pending'
"""
_MAKE = """
INSERT INTO delivery
    (number, message_number, endpoint, is_replay, created_at_ms, due_at_ms, claimable_at_ms)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), :endpoint, 1, :now, :now, :now
FROM json_each(:made)
"""


def add_replay(connection: Connection, replay: Replay) -> int:
    """See DeliveryQueue.add_replay."""
    last = connection.exec_driver_sql(_LAST).scalar_one()
    return int(connection.exec_driver_sql(_ADD, _values(replay, last)).scalar_one())


def replays(connection: Connection) -> list[Replay]:
    """See DeliveryQueue.replays."""
    return [_replay(row) for row in connection.exec_driver_sql(_ALL)]


def replays_with_extent(connection: Connection) -> list[tuple[Replay, int]]:
    """Return the replays, each with the number of the last message that it is about."""
    return [(_replay(row), row.last) for row in connection.exec_driver_sql(_ALL)]


def replace_replays(connection: Connection, replays: Sequence[tuple[Replay, int]]) -> None:
    """Replace all replays by some as from `replays_with_extent`, with numbers of this store."""
    for row in connection.exec_driver_sql(_ALL).all():
        _remove(connection, row.number)
    for replay, last in replays:
        connection.exec_driver_sql(_ADD, _values(replay, last))


def advance_replay(
    connection: Connection,
    number: int,
    most: int,
    now: datetime,
    new_numbers: Callable[[int], Sequence[int]],
) -> int:
    """See DeliveryQueue.advance_replay; the rows that are made get `new_numbers`."""
    row = connection.exec_driver_sql(_ONE, (number,)).first()
    if row is None or most <= 0:
        return 0
    replay = _replay(row)
    messages = _following(connection, replay, row.last, min(most, MOST_ADVANCED))
    if not messages:
        _remove(connection, number)
        return 0
    given = (json.dumps(messages), replay.endpoint)
    waiting = set(connection.exec_driver_sql(WAITING, given).scalars())
    due = [message for message in messages if message not in waiting]
    made = list(zip(new_numbers(len(due)) if due else (), due, strict=True))
    now_ms = milliseconds_since_epoch(now)
    values = {"endpoint": replay.endpoint, "now": now_ms, "made": json.dumps(made)}
    connection.exec_driver_sql(_MAKE, values)
    connection.exec_driver_sql(_KEEP_POSITION, (messages[-1], number))
    return len(messages)


def _following(connection: Connection, replay: Replay, last: int, most: int) -> list[int]:
    query = Query(
        recipient=replay.recipient,
        since=replay.since,
        until=replay.until,
        oldest_first=True,
        after=replay.position,
        before=last + 1,
    )
    return [row.number for row in connection.execute(selection(query).limit(most))]


def _remove(connection: Connection, number: int) -> None:
    connection.exec_driver_sql(_REMOVE, (number,))
    set_to(connection, LOG_HAS_DELETED, 1)  # the replay's recipient may belong to erased messages


def _values(replay: Replay, last: int) -> tuple[object, ...]:
    return (
        replay.endpoint,
        None if replay.since is None else milliseconds_since_epoch(replay.since),
        None if replay.until is None else milliseconds_since_epoch(replay.until),
        replay.recipient,
        replay.rate,
        replay.position,
        last,
    )


def _replay(row: Row[Any]) -> Replay:
    return Replay(
        row.endpoint,
        None if row.since_ms is None else moment_of(row.since_ms),
        None if row.until_ms is None else moment_of(row.until_ms),
        row.recipient,
        row.rate,
        row.position,
        row.number,
    )
