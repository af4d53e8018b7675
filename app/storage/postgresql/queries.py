"""Builds the SQL statements for queries; they return messages in the order of their numbers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from app.domains import comparable_address
from app.storage.ids import milliseconds_since_epoch
from app.storage.interface import Query
from app.storage.postgresql.numbers import VISIBLE_BELOW
from app.storage.postgresql.rows import SHOWN
from app.storage.postgresql.texts import address_key, stored_text

IS_SHOWN = f"deleted_at_ms IS NULL AND number < {VISIBLE_BELOW}"
IS_UNDONE = """
number IN (SELECT message_number FROM delivery WHERE state IN ('pending', 'dead'))
"""
"""Whether a message has pending or dead deliveries."""
IS_DONE = """
NOT EXISTS (
    SELECT FROM delivery
    WHERE message_number = message.number AND state IN ('pending', 'dead')
)"""
"""Whether a message has no pending or dead delivery."""

OLDEST_DONE = f"""
SELECT {SHOWN} FROM message WHERE {IS_SHOWN} AND id > %b::uuid AND {IS_DONE} ORDER BY id LIMIT %b
"""
COUNT_UNDONE = f"""
SELECT count(*) FROM message
WHERE {IS_SHOWN} AND (%b::bigint IS NULL OR received_at_ms < %b::bigint) AND {IS_UNDONE}
"""
IDS_BETWEEN = """
SELECT id FROM message WHERE deleted_at_ms IS NULL AND id BETWEEN %b::uuid AND %b::uuid
ORDER BY id LIMIT %b
"""
LATEST = f"SELECT max(number) FROM message WHERE number < {VISIBLE_BELOW}"
ARRIVALS = f"""
SELECT number, recipient_key FROM message WHERE {IS_SHOWN} AND number > %b ORDER BY number LIMIT %b
"""


@dataclass(frozen=True)
class Statement:
    """SQL with its parameters."""

    sql: str
    parameters: tuple[object, ...]


Condition = tuple[str, object]


def selection(query: Query, most: int) -> Statement:
    """Return the statement for the first `most` messages of `query`.

    It ignores the query's limit and its header_message_id.
    """
    return _statement(f"SELECT {SHOWN}", query, [*_indexed(query), *_scanned(query)], most)


def counting(query: Query) -> Statement:
    """Return the statement for the number of matches, which ignores its header_message_id."""
    found = _statement("SELECT", query, [*_indexed(query), *_scanned(query)], query.limit)
    return Statement(f"SELECT count(*) FROM ({found.sql}) AS found", found.parameters)


def scan_extent(query: Query, most: int) -> Statement:
    """Return the statement for how far a scan of `most` messages gets: last number and count."""
    found = _statement("SELECT number", query, list(_indexed(query)), most)
    last = "max" if query.oldest_first else "min"
    return Statement(
        f"SELECT {last}(number) AS last, count(*) AS count FROM ({found.sql}) AS found",
        found.parameters,
    )


def up_milliseconds(moment: datetime) -> int:
    """Return `moment` in milliseconds since the epoch, rounded up."""
    return milliseconds_since_epoch(moment) + (moment.microsecond % 1000 > 0)


def _statement(
    select: str, query: Query, conditions: list[Condition], most: int | None
) -> Statement:
    where = " AND ".join([IS_SHOWN, *(sql for sql, _ in conditions)])
    order = "number" if query.oldest_first else "number DESC"
    return Statement(
        f"{select} FROM message WHERE {where} ORDER BY {order} LIMIT %b::bigint",
        (*(value for _, value in conditions), most),
    )


def _indexed(query: Query) -> Iterator[Condition]:
    if query.recipient is not None:
        yield "recipient_key = %b::text", address_key(query.recipient)
    if query.since is not None:
        yield "received_at_ms >= %b::bigint", up_milliseconds(query.since)
    if query.until is not None:
        yield "received_at_ms < %b::bigint", up_milliseconds(query.until)
    if query.after is not None:
        yield "number > %b::bigint", query.after
    if query.before is not None:
        yield "number < %b::bigint", query.before


def _scanned(query: Query) -> Iterator[Condition]:
    if query.sender is not None:
        yield "sender_key = %b::text", stored_text(comparable_address(query.sender))
    if query.subject is not None:
        folded = stored_text(query.subject.casefold())
        yield "position(%b::text IN folded_subject) > 0", folded
    if query.queue_id is not None:
        yield "queue_id = %b::text", stored_text(query.queue_id)
