"""Inserts messages with their deliveries, in one statement for any number of them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row

from app.storage.postgresql.addition import COLUMNS, Addition
from app.storage.postgresql.durability import IS_KEPT, PIN
from app.storage.postgresql.numbers import NEXT

_NAMES = ", ".join(COLUMNS)
_ARRAYS = ", ".join(f"%b::{kind}[]" for kind in COLUMNS.values())

# The bytes aren't unnested, since PostgreSQL would write them to a temporary file first.
# Inserted in the order of their keys, or the groups of two processes would wait for each other. A
# row that is already there is updated, although nothing changes: so the commit waits until the
# standby has that row too, and the repeat isn't acknowledged before.
_INSERT = f"""
WITH given AS (
    SELECT {NEXT} + place AS number, *
    FROM unnest({_ARRAYS}) WITH ORDINALITY AS message ({_NAMES}, place)
    WHERE {IS_KEPT}
),
stored AS (
    INSERT INTO message (number, {_NAMES})
    SELECT number, {_NAMES} FROM given ORDER BY idempotency_key COLLATE "C"
    ON CONFLICT (idempotency_key) DO UPDATE SET size = message.size
    RETURNING number, idempotency_key, id, received_at_ms
),
new AS (
    SELECT number, place, size, given.received_at_ms FROM given JOIN stored USING (number)
),
parts AS (
    INSERT INTO message_part (message_number, part, content)
    SELECT number, part, (%b::bytea[])[piece]
    FROM unnest(%b::bigint[], %b::integer[]) WITH ORDINALITY AS piece (place, part, piece)
    JOIN new USING (place)
),
deliveries AS (
    INSERT INTO delivery
        (number, message_number, endpoint, created_at_ms, due_at_ms, claimable_at_ms)
    SELECT {NEXT} + %b + delivery_place, number, endpoint,
        received_at_ms, received_at_ms, received_at_ms
    FROM unnest(%b::bigint[], %b::text[]) WITH ORDINALITY
        AS delivery (place, endpoint, delivery_place)
    JOIN new USING (place)
),
counted AS (
    INSERT INTO tally (name, change)
    SELECT name, change
    FROM (SELECT count(*) AS messages, sum(size)::bigint AS bytes FROM new) AS added,
        LATERAL (VALUES ('messages', messages), ('bytes', bytes)) AS change (name, change)
    WHERE messages > 0
)
SELECT stored.*, number IN (SELECT number FROM new) AS is_new, {PIN} FROM stored
"""


def insert(
    connection: Connection, additions: Sequence[Addition], parts: Mapping[int, Iterable[bytes]]
) -> Mapping[str, Row[Any]]:
    """Insert messages with different keys, and return the row that is stored for each key.

    `parts` has the bytes of messages by their place in `additions`, from 1 on. A message that is
    already stored stays as it is. Nothing is inserted, and the result is empty, while the server
    wouldn't keep it.
    """
    pieces = [
        (place, part, content)
        for place, contents in parts.items()
        for part, content in enumerate(contents)
    ]
    deliveries = [
        (place, endpoint)
        for place, addition in enumerate(additions, 1)
        for endpoint in addition.endpoints
    ]
    columns = zip(*(addition.values for addition in additions), strict=True)
    parameters = (
        *map(list, columns),
        [content for *_, content in pieces],
        *_columns(pieces, 2),
        len(additions),
        *_columns(deliveries, 2),
    )
    rows = connection.exec_driver_sql(_INSERT, parameters).all()
    return {row.idempotency_key: row for row in rows}


def _columns(rows: Sequence[tuple[object, ...]], count: int) -> list[list[object]]:
    return [[row[column] for row in rows] for column in range(count)]
