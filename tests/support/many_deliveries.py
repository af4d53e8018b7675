"""Stores many messages with deliveries in PostgreSQL at once."""

import psycopg

from app.storage.postgresql.numbers import NEXT

# A transaction has 65,536 numbers.
_MOST_AT_ONCE = 30_000
_ADD_MANY = f"""
WITH given AS MATERIALIZED (
    SELECT {NEXT} + n AS number, %(first)s + n * 1000 AS at_ms,
        'bob' || n %% 500 || '@example.com' AS recipient
    FROM generate_series(1, %(count)s::bigint) AS n
), stored AS (
    INSERT INTO message (number, id, idempotency_key, received_at_ms, sender, recipient,
        sender_key, recipient_key, subject, folded_subject, size, sha256)
    SELECT number, gen_random_uuid(), 'many-' || number, at_ms, '', recipient, '', recipient,
        '', '', 1, ''
    FROM given
)
INSERT INTO delivery
    (number, message_number, endpoint, state, created_at_ms, due_at_ms, claimable_at_ms)
SELECT number + %(count)s, number, %(endpoint)s, %(state)s, at_ms, at_ms, at_ms FROM given
"""


def add_many(
    url: str, count: int, *, endpoint: str = "app", state: str = "pending", first_ms: int = 0
) -> None:
    """Store messages with a delivery each, created a second after each other."""
    with psycopg.connect(url, autocommit=True) as connection:
        for done in range(0, count, _MOST_AT_ONCE):
            given = {
                "count": min(count - done, _MOST_AT_ONCE),
                "first": first_ms + done * 1000,
                "endpoint": endpoint,
                "state": state,
            }
            connection.execute(_ADD_MANY, given)
