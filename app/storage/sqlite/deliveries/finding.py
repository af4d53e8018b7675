"""Runs queries for deliveries and figures; part of a caller's transaction."""

import heapq
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from app.domains import comparable_address
from app.errors import DeliveryNotFound
from app.storage.delivery import Attempt, Delivery, DeliveryPage, DeliveryQuery, Figure, State
from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.sqlite.deliveries.attempts import attempts_of
from app.storage.sqlite.deliveries.rows import OF_MESSAGES, chosen, delivery_of
from app.storage.sqlite.tables import DISPLACED_DELIVERY, NEAR_MICROSECONDS

MOST_LOOKED_AT = 10_000
_FEW_MESSAGES = 1000
_CHUNK_ROWS = 200

COUNTS = "SELECT endpoint, state FROM delivery_count WHERE count > 0"
# The first one created with this endpoint, state and kind.
_FIRST = """
SELECT number FROM delivery INDEXED BY delivery_state
WHERE endpoint = counted.endpoint AND state = counted.state AND is_replay = {kind}
ORDER BY number LIMIT 1"""
_FIRST_LIVE, _FIRST_REPLAY = _FIRST.format(kind=0), _FIRST.format(kind=1)
FIGURES = f"""
SELECT endpoint, state, count AS many, (
    SELECT min(created_at_ms) FROM delivery
    WHERE number IN (({_FIRST_LIVE}), ({_FIRST_REPLAY}))
) AS oldest_ms
FROM delivery_count AS counted WHERE count > 0 ORDER BY endpoint, state
"""  # noqa: S608 -- constants
_MESSAGES_OF = "SELECT number FROM message WHERE recipient_key = ? ORDER BY number LIMIT ?"
_MESSAGE = "SELECT number FROM message WHERE id = ?"


@dataclass(frozen=True)
class Source:
    """Deliveries that an index returns in the order of their numbers."""

    index: str
    conditions: tuple[str, ...] = ()
    values: tuple[object, ...] = ()

    def also(self, condition: str, *values: object) -> "Source":
        """Return the source limited by a further condition."""
        return Source(self.index, (*self.conditions, condition), (*self.values, *values))

    def sql(self, *, oldest_first: bool) -> str:
        """Return the statement, whose last parameter is the limit."""
        how = f"INDEXED BY {self.index}" if self.index else "NOT INDEXED"
        where = " AND ".join(self.conditions) or "1"
        order = "" if oldest_first else "DESC"
        chosen = f"SELECT * FROM delivery {how} WHERE {where} ORDER BY number {order} LIMIT ?"  # noqa: S608 -- parts of ours
        return OF_MESSAGES.format(deliveries=chosen)


def find(connection: Connection, query: DeliveryQuery) -> DeliveryPage:
    """See DeliveryQueue.find."""
    key = None if query.recipient is None else comparable_address(query.recipient)
    found: list[Delivery] = []
    position = None
    for count, row in enumerate(_merged(connection, query)):
        if len(found) == query.limit or count == MOST_LOOKED_AT:
            return DeliveryPage(found, position, has_more=True)
        position = row.number
        if key is None or row.recipient_key == key:
            found.append(delivery_of(row))
    return DeliveryPage(found, position, has_more=False)


def get(connection: Connection, number: int) -> tuple[Delivery, Sequence[Attempt]]:
    """See DeliveryQueue.get."""
    rows = chosen(connection, [number])
    if not rows:
        raise DeliveryNotFound("No delivery has this id.")
    return delivery_of(rows[0]), attempts_of(connection, number)


def figures(connection: Connection) -> list[Figure]:
    """See DeliveryQueue.figures."""
    return [
        Figure(row.endpoint, State(row.state), row.many, moment_of(row.oldest_ms))
        for row in connection.exec_driver_sql(FIGURES)
    ]


def sources(connection: Connection, query: DeliveryQuery) -> list[Source]:
    """Return sources that together have all matching deliveries, and perhaps other recipients."""
    among = [source for each in _by_index(connection, query) for source in _by_time(each, query)]
    if query.after is not None:
        among = [each.also("number > ?", query.after) for each in among]
    if query.before is not None:
        among = [each.also("number < ?", query.before) for each in among]
    return among


def _by_index(connection: Connection, query: DeliveryQuery) -> Iterator[Source]:
    messages = _few_messages(connection, query)
    if messages is not None:
        of_messages = "message_number IN (SELECT value FROM json_each(?))"
        yield _filtered(Source("delivery_message", (of_messages,), (json.dumps(messages),)), query)
    elif query.endpoint is None and query.state is None:
        yield Source("")
    else:
        for row in connection.exec_driver_sql(COUNTS).all():
            if query.endpoint in {None, row.endpoint} and query.state in {None, row.state}:
                for kind in (0, 1):
                    yield Source(
                        "delivery_state",
                        ("endpoint = ?", "state = ?", "is_replay = ?"),
                        (row.endpoint, row.state, kind),
                    )


def _few_messages(connection: Connection, query: DeliveryQuery) -> Sequence[int] | None:
    """Return the numbers of the messages in the query; None if there are many or no condition."""
    if query.message_id is not None:
        return connection.exec_driver_sql(_MESSAGE, (query.message_id,)).scalars().all()
    if query.recipient is None:
        return None
    given = (comparable_address(query.recipient), _FEW_MESSAGES + 1)
    found = connection.exec_driver_sql(_MESSAGES_OF, given).scalars().all()
    return found if len(found) <= _FEW_MESSAGES else None


def _filtered(source: Source, query: DeliveryQuery) -> Source:
    if query.endpoint is not None:
        source = source.also("endpoint = ?", query.endpoint)
    if query.state is not None:
        source = source.also("state = ?", query.state)
    return source


def _by_time(source: Source, query: DeliveryQuery) -> Iterator[Source]:
    """Yield sources limited to the time in the query.

    Numbers are usually times, so only those near that time are read; the others have their own
    index. See app.storage.sqlite.queries.
    """
    if query.since is None and query.until is None:
        yield source
        return
    usual = source.also(f"NOT ({DISPLACED_DELIVERY})")
    displaced = Source(
        "delivery_displaced", (*source.conditions, DISPLACED_DELIVERY), source.values
    )
    if query.since is not None:
        since = _milliseconds(query.since)
        usual = usual.also("number >= ?", since * 1000 - NEAR_MICROSECONDS)
        usual, displaced = (each.also("created_at_ms >= ?", since) for each in (usual, displaced))
    if query.until is not None:
        until = _milliseconds(query.until)
        usual = usual.also("number <= ?", until * 1000 + NEAR_MICROSECONDS)
        usual, displaced = (each.also("created_at_ms < ?", until) for each in (usual, displaced))
    yield from (usual, displaced)


def _merged(connection: Connection, query: DeliveryQuery) -> Iterator[Row[Any]]:
    """Yield the rows of all sources in the order of their numbers."""
    streams = [_rows(connection, each, query) for each in sources(connection, query)]
    return heapq.merge(*streams, key=_number, reverse=not query.oldest_first)


def _rows(connection: Connection, source: Source, query: DeliveryQuery) -> Iterator[Row[Any]]:
    """Yield rows in chunks; the first one has at most a page."""
    chunk_rows = min(query.limit + 1, _CHUNK_ROWS)
    beyond = "number > ?" if query.oldest_first else "number < ?"
    following = source
    while True:
        sql = following.sql(oldest_first=query.oldest_first)
        rows = connection.exec_driver_sql(sql, (*following.values, chunk_rows)).all()
        chunk = sorted(rows, key=_number, reverse=not query.oldest_first)
        yield from chunk
        if len(chunk) < chunk_rows:
            return
        following = source.also(beyond, chunk[-1].number)
        chunk_rows = _CHUNK_ROWS


def _number(row: Row[Any]) -> int:
    return int(row.number)


def _milliseconds(moment: datetime) -> int:
    """Return `moment` in milliseconds since the epoch, rounded up."""
    return milliseconds_since_epoch(moment) + (moment.microsecond % 1000 > 0)
