"""Runs queries for deliveries; each function is part of a caller's transaction.

A page has nothing from VISIBLE_BELOW on, since what appears later may have a smaller number, and a
reader that goes on behind its page would miss that.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row

from app.errors import DeliveryNotFound
from app.storage.delivery import Attempt, Delivery, DeliveryPage, DeliveryQuery
from app.storage.ids import ID_PATTERN, milliseconds_since_epoch
from app.storage.postgresql.deliveries.attempts import attempts_of
from app.storage.postgresql.deliveries.rows import OF_MESSAGES, delivery_of
from app.storage.postgresql.numbers import VISIBLE_BELOW
from app.storage.postgresql.texts import address_key

MOST_LOOKED_AT = 10_000
_MOST_OF_A_TIME = 20_000
_FEW_MESSAGES = 1000
_CHUNK_ROWS = 500
_END_OF_TIME_MS = 1 << 62

_VISIBLE_BELOW = f"SELECT {VISIBLE_BELOW}"
_MESSAGES_OF = """
SELECT number FROM message WHERE recipient_key = %s AND deleted_at_ms IS NULL
ORDER BY number LIMIT %s
"""
_MESSAGE = "SELECT number FROM message WHERE id = %s"
_ONE = f"{OF_MESSAGES.format(deliveries='delivery')} WHERE delivery.number = %s"

_IS_ASKED = """
(%(endpoint)s::text IS NULL OR endpoint = %(endpoint)s)
AND (%(state)s::text IS NULL OR state = %(state)s)"""
_BEYOND = "number > %(after)s AND number < %(before)s"
# The endpoints and states of deliveries. They are part of each statement, since a delivery may get
# another state between two statements, and would be found by neither.
_COUNTED = f"""(
    SELECT endpoint, state FROM delivery_tally WHERE {_IS_ASKED}
    GROUP BY endpoint, state HAVING sum(change) > 0
) AS counted"""
# Compared as rows, so that only the index with these columns serves: the planner doesn't know which
# state it will be, and would look for a rare one among all deliveries.
_BEYOND_IN_STATE = """
(endpoint, state, number) > (counted.endpoint, counted.state, %(after)s)
AND (endpoint, state, number) < (counted.endpoint, counted.state, %(before)s)"""
_AT_THE_TIME = """
endpoint = counted.endpoint AND state = counted.state
AND created_at_ms >= %(since)s AND created_at_ms < %(until)s"""
# Each statement returns the first deliveries beyond a position; {order} is the order of numbers.
ALL = f"SELECT * FROM delivery WHERE {_BEYOND} ORDER BY number {{order}} LIMIT %(rows)s"
BY_STATE = f"""
SELECT found.* FROM {_COUNTED} CROSS JOIN LATERAL (
    SELECT * FROM delivery WHERE {_BEYOND_IN_STATE}
    ORDER BY endpoint {{order}}, state {{order}}, number {{order}} LIMIT %(rows)s
) AS found
ORDER BY found.number {{order}} LIMIT %(rows)s
"""
BY_MESSAGE = f"""
SELECT * FROM delivery
WHERE message_number = ANY(%(messages)s::bigint[]) AND {_IS_ASKED} AND {_BEYOND}
ORDER BY number {{order}} LIMIT %(rows)s
"""
# Materialized, so that they are looked for by their time and not by their number.
BY_TIME = f"""
WITH found AS MATERIALIZED (
    SELECT delivery.number FROM {_COUNTED}
    CROSS JOIN LATERAL (SELECT number FROM delivery WHERE {_AT_THE_TIME}) AS delivery
), page AS MATERIALIZED (
    SELECT number FROM found WHERE {_BEYOND} ORDER BY number {{order}} LIMIT %(rows)s
)
SELECT delivery.* FROM page JOIN delivery ON delivery.number = page.number
"""
COUNT_BY_TIME = f"""
SELECT count(*) FROM (
    SELECT FROM {_COUNTED} CROSS JOIN LATERAL (
        SELECT FROM delivery WHERE {_AT_THE_TIME} LIMIT %(rows)s
    ) AS delivery
    LIMIT %(rows)s
) AS found
"""


def find(connection: Connection, query: DeliveryQuery) -> DeliveryPage:
    """See DeliveryQueue.find."""
    key = None if query.recipient is None else address_key(query.recipient)
    found: list[Delivery] = []
    position = None
    for count, row in enumerate(_rows(connection, query)):
        if len(found) == query.limit or count == MOST_LOOKED_AT:
            return DeliveryPage(found, position, has_more=True)
        position = row.number
        if key in {None, row.recipient_key} and _is_of_the_time(row, query):
            found.append(delivery_of(row))
    return DeliveryPage(found, position, has_more=False)


def get(connection: Connection, number: int) -> tuple[Delivery, Sequence[Attempt]]:
    """See DeliveryQueue.get."""
    row = connection.exec_driver_sql(_ONE, (number,)).first()
    if row is None:
        raise DeliveryNotFound("No delivery has this id.")
    return delivery_of(row), attempts_of(connection, number, row.tries)


def _rows(connection: Connection, query: DeliveryQuery) -> Iterator[Row[Any]]:
    """Yield the rows that may match in the order of their numbers, in chunks.

    The first one has at most a page.
    """
    given = _values(connection, query)
    messages = _few_messages(connection, query)
    given["messages"] = list(messages or ())
    statement = _statement(connection, query, given, is_of_few=messages is not None)
    given["rows"] = min(query.limit + 1, _CHUNK_ROWS)
    while True:
        rows = connection.exec_driver_sql(statement, given).all()
        chunk = sorted(rows, key=_number, reverse=not query.oldest_first)
        yield from chunk
        if len(chunk) < given["rows"]:
            return
        given["after" if query.oldest_first else "before"] = chunk[-1].number
        given["rows"] = _CHUNK_ROWS


def _values(connection: Connection, query: DeliveryQuery) -> dict[str, Any]:
    # All chunks end here, also that of messages which were looked up before.
    visible_below = connection.exec_driver_sql(_VISIBLE_BELOW).scalar_one()
    return {
        "endpoint": query.endpoint,
        "state": query.state,
        "since": 0 if query.since is None else _milliseconds(query.since),
        "until": _END_OF_TIME_MS if query.until is None else _milliseconds(query.until),
        "after": -1 if query.after is None else query.after,
        "before": visible_below if query.before is None else min(query.before, visible_below),
    }


def _statement(
    connection: Connection, query: DeliveryQuery, given: dict[str, Any], *, is_of_few: bool
) -> str:
    if is_of_few:
        chosen = BY_MESSAGE
    elif _is_of_short_time(connection, query, given):
        chosen = BY_TIME
    else:
        chosen = ALL if query.endpoint is query.state is None else BY_STATE
    order = "ASC" if query.oldest_first else "DESC"
    return OF_MESSAGES.format(deliveries=f"({chosen.format(order=order)})")


def _few_messages(connection: Connection, query: DeliveryQuery) -> Sequence[int] | None:
    """Return the numbers of the messages in the query; None if there are many or no condition."""
    if query.message_id is not None:
        if not re.fullmatch(ID_PATTERN, query.message_id):
            return []
        return connection.exec_driver_sql(_MESSAGE, (query.message_id,)).scalars().all()
    if query.recipient is None:
        return None
    given = (address_key(query.recipient), _FEW_MESSAGES + 1)
    found = connection.exec_driver_sql(_MESSAGES_OF, given).scalars().all()
    return found if len(found) <= _FEW_MESSAGES else None


def _is_of_short_time(connection: Connection, query: DeliveryQuery, given: dict[str, Any]) -> bool:
    """Return whether few deliveries were created at the time in the query."""
    if query.since is None and query.until is None:
        return False
    most = {**given, "rows": _MOST_OF_A_TIME}
    count = connection.exec_driver_sql(COUNT_BY_TIME, most).scalar_one()
    return bool(count < _MOST_OF_A_TIME)


def _is_of_the_time(row: Row[Any], query: DeliveryQuery) -> bool:
    return (query.since is None or row.created_at_ms >= _milliseconds(query.since)) and (
        query.until is None or row.created_at_ms < _milliseconds(query.until)
    )


def _number(row: Row[Any]) -> int:
    return int(row.number)


def _milliseconds(moment: datetime) -> int:
    """Return `moment` in milliseconds since the epoch, rounded up."""
    return milliseconds_since_epoch(moment) + (moment.microsecond % 1000 > 0)
