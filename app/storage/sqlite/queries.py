"""Builds the SQL statements for queries; they return messages in the order of their numbers."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    Select,
    and_,
    func,
    or_,
    select,
    text,
    union_all,
)

from app.domains import comparable_address
from app.storage.ids import milliseconds_since_epoch
from app.storage.interface import Query
from app.storage.sqlite.tables import DISPLACED, NEAR_MICROSECONDS, messages

_NOT_SHOWN = {"idempotency_key", "record_number", "record_start", "recipient_key"}
_SHOWN = [column for column in messages.columns if column.name not in _NOT_SHOWN]
_NUMBER = messages.c.number
IS_DONE = """
NOT EXISTS (
    SELECT 1 FROM delivery INDEXED BY delivery_message
    WHERE message_number = message.number AND state IN ('pending', 'dead')
)"""
"""Whether a message has no pending or dead delivery."""
# By endpoint and state, since most deliveries are usually neither.
_IS_UNDONE = """
message.number IN (
    SELECT message_number FROM delivery_count CROSS JOIN delivery INDEXED BY delivery_state
    ON delivery.endpoint = delivery_count.endpoint AND delivery.state = delivery_count.state
    WHERE delivery_count.state IN ('pending', 'dead')
)"""
_BEYOND_ASCII = "*[^ -~]*"

Statement = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]


def selection(query: Query) -> Statement:
    """Return the statement for `query`, which ignores its limit and its header_message_id."""
    return _ordered(query, select(*_SHOWN).where(*_indexed(query), *_scanned(query)))


def scan_extent(query: Query, most: int) -> Select[Any, int]:
    """Return the statement for how far a scan of `most` messages gets: last number and count."""
    numbers = _ordered(query, select(_NUMBER).where(*_indexed(query))).limit(most).subquery()
    last = func.max if query.oldest_first else func.min
    return select(last(numbers.c.number).label("last"), func.count().label("count"))


def ids_with_prefix(prefix: str) -> Select[Any]:
    """Return the statement for the ids that begin with `prefix`, in ascending order."""
    identity = messages.c.id
    # All characters of an id sort before the tilde. LIKE would need an index of its own.
    is_among = and_(identity >= prefix, identity < f"{prefix}~")
    return select(identity).where(is_among).order_by(identity)


def oldest_done(limit: int, after: str | None) -> Select[Any]:
    """Return the statement for messages without pending or dead deliveries, oldest first."""
    identity = messages.c.id  # begins with the time
    return (
        select(*_SHOWN)
        .where(text(IS_DONE), identity > (after or ""))
        .order_by(identity)
        .limit(limit)
    )


def count_undone(before: datetime | None) -> Select[int]:
    """Return the statement for the number of messages with pending or dead deliveries."""
    statement = select(func.count()).select_from(messages).where(text(_IS_UNDONE))
    if before is None:
        return statement
    return statement.where(messages.c.received_at_ms < _milliseconds(before))


def _ordered(query: Query, statement: Select[Any]) -> Statement:
    if query.since is None and query.until is None:
        return statement.order_by(_NUMBER if query.oldest_first else _NUMBER.desc())
    # Numbers are usually times, so the scan starts near the time in the query and needs no sort.
    usual = statement.where(text(f"NOT ({DISPLACED})"), *_near(query))
    displaced = statement.where(text(DISPLACED))
    return union_all(usual, displaced).order_by(
        text("number" if query.oldest_first else "number DESC")
    )


def _near(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.since is not None:
        yield _milliseconds(query.since) * 1000 - NEAR_MICROSECONDS <= _NUMBER
    if query.until is not None:
        yield _milliseconds(query.until) * 1000 + NEAR_MICROSECONDS >= _NUMBER


def _indexed(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.recipient is not None:
        yield messages.c.recipient_key == comparable_address(query.recipient)
    if query.since is not None:
        yield messages.c.received_at_ms >= _milliseconds(query.since)
    if query.until is not None:
        yield messages.c.received_at_ms < _milliseconds(query.until)
    if query.after is not None:
        yield query.after < _NUMBER
    if query.before is not None:
        yield query.before > _NUMBER


def _scanned(query: Query) -> Iterator[ColumnElement[bool]]:
    if query.sender is not None:
        yield _is_sender(comparable_address(query.sender))
    if query.subject is not None:
        # app.storage.sqlite.database adds the functions `casefold` and `comparable_address`.
        yield func.instr(func.casefold(messages.c.subject), query.subject.casefold()) > 0
    if query.queue_id is not None:
        yield messages.c.queue_id == query.queue_id


def _is_sender(key: str) -> ColumnElement[bool]:
    # For ASCII, SQLite's own functions do the same as comparable_address, ten times as fast.
    sender = messages.c.sender
    is_beyond = sender.op("GLOB", is_comparison=True)(_BEYOND_ASCII)
    return or_(
        func.rtrim(func.lower(sender), ".") == key,
        and_(is_beyond, func.comparable_address(sender) == key),
    )


def _milliseconds(moment: datetime) -> int:
    """Return `moment` in milliseconds since the epoch, rounded up."""
    return milliseconds_since_epoch(moment) + (moment.microsecond % 1000 > 0)
