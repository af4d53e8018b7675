"""Runs replays in pieces; each function is part of a caller's transaction.

What a piece consists of is read before the transaction that makes its deliveries: it may take long,
and no page of deliveries shows what was made since a transaction began that writes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.delivery import Replay
from app.storage.delivery_queue import MOST_ADVANCED
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.postgresql.deliveries.locks import lock_replays
from app.storage.postgresql.numbers import NEXT
from app.storage.postgresql.texts import address_key, original_text, stored_text

# All that is stored now is replayed, though a message that is just being stored may appear before.
_ADD = """
INSERT INTO replay (endpoint, since_ms, until_ms, recipient, rate, position, last)
VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING number
"""
_LAST = "SELECT coalesce(max(number), 0) FROM message"
_ALL = "SELECT * FROM replay ORDER BY number"
_ONE = "SELECT * FROM replay WHERE number = %s"
_LOCK = "SELECT FROM replay WHERE number = %s AND position = %s FOR UPDATE"
_KEEP_POSITION = "UPDATE replay SET position = %s WHERE number = %s"
_REMOVE_ALL = "DELETE FROM replay"
_REMOVE = "DELETE FROM replay WHERE number = %s"
FOLLOWING = """
SELECT number FROM message
WHERE deleted_at_ms IS NULL AND number > %(position)s AND number <= %(last)s
{conditions} ORDER BY number LIMIT %(most)s
"""
_CONDITIONS = {
    "since_ms": "AND received_at_ms >= %(since_ms)s",
    "until_ms": "AND received_at_ms < %(until_ms)s",
    "recipient_key": "AND recipient_key = %(recipient_key)s",
}
# Whoever deletes a message has locked it, and deletes the deliveries that it has by then. Messages
# are locked in the order of their keys, by all.
LOCK_MESSAGES = """
SELECT number FROM message WHERE number = ANY(%s::bigint[]) AND deleted_at_ms IS NULL
ORDER BY idempotency_key FOR KEY SHARE
"""
MAKE = f"""
INSERT INTO delivery
    (number, message_number, endpoint, is_replay, created_at_ms, due_at_ms, claimable_at_ms)
SELECT {NEXT} + row_number() OVER (ORDER BY due.number),
    due.number, %(endpoint)s, true, %(now)s, %(now)s, %(now)s
FROM unnest(%(messages)s::bigint[]) AS due (number)
WHERE NOT EXISTS (
    SELECT FROM delivery WHERE message_number = due.number AND endpoint = %(endpoint)s
    AND state = 'pending'
)
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
    connection.exec_driver_sql(_REMOVE_ALL)
    for replay, last in replays:
        connection.exec_driver_sql(_ADD, _values(replay, last))


@dataclass(frozen=True)
class Piece:
    """The next messages of a replay, none if it is complete."""

    replay: Replay
    messages: Sequence[int]


def next_piece(connection: Connection, number: int, most: int) -> Piece | None:
    """Return the next messages, up to `most`, or None if the replay doesn't exist."""
    row = connection.exec_driver_sql(_ONE, (number,)).first()
    if row is None:
        return None
    return Piece(_replay(row), _following(connection, row, min(most, MOST_ADVANCED)))


def advance_replay(connection: Connection, piece: Piece, now: datetime) -> bool:
    """Make the deliveries of a piece; return False if another process has advanced the replay."""
    replay = piece.replay
    is_there = connection.exec_driver_sql(_LOCK, (replay.number, replay.position)).first()
    if is_there is None:
        return False
    if not piece.messages:
        connection.exec_driver_sql(_REMOVE, (replay.number,))
        return True
    lock_replays(connection, replay.endpoint)
    messages = connection.exec_driver_sql(LOCK_MESSAGES, (list(piece.messages),)).scalars().all()
    now_ms = milliseconds_since_epoch(now)
    values = {"endpoint": replay.endpoint, "now": now_ms, "messages": list(messages)}
    connection.exec_driver_sql(MAKE, values)
    connection.exec_driver_sql(_KEEP_POSITION, (piece.messages[-1], replay.number))
    return True


def _following(connection: Connection, row: Row[Any], most: int) -> Sequence[int]:
    recipient = None if row.recipient is None else original_text(row.recipient)
    given = {
        "since_ms": row.since_ms,
        "until_ms": row.until_ms,
        "recipient_key": None if recipient is None else address_key(recipient),
    }
    asked = {name: value for name, value in given.items() if value is not None}
    conditions = " ".join(_CONDITIONS[name] for name in asked)
    values = {"position": row.position, "last": row.last, "most": most, **asked}
    statement = FOLLOWING.format(conditions=conditions)
    return connection.exec_driver_sql(statement, values).scalars().all()


def _values(replay: Replay, last: int) -> tuple[object, ...]:
    return (
        replay.endpoint,
        None if replay.since is None else milliseconds_since_epoch(replay.since),
        None if replay.until is None else milliseconds_since_epoch(replay.until),
        None if replay.recipient is None else stored_text(replay.recipient),
        replay.rate,
        replay.position,
        last,
    )


def _replay(row: Row[Any]) -> Replay:
    return Replay(
        row.endpoint,
        None if row.since_ms is None else moment_of(row.since_ms),
        None if row.until_ms is None else moment_of(row.until_ms),
        None if row.recipient is None else original_text(row.recipient),
        row.rate,
        row.position,
        row.number,
    )
