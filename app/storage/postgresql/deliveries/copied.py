"""Deliveries that are copied from store to store; each function is part of a transaction."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from sqlalchemy import Connection

from app.storage.copying.interface import DeliveryChange, DeliveryKey, KeptDelivery, Progress
from app.storage.delivery import KEPT_ATTEMPTS, Attempt, State
from app.storage.postgresql.deliveries.attempts import attempt_of, keep_attempts
from app.storage.postgresql.deliveries.rows import locked
from app.storage.postgresql.numbers import NEXT
from app.storage.postgresql.texts import original_text, stored_text

_OF_MESSAGES = """
SELECT delivery.*, message.id AS message_id
FROM message JOIN delivery ON delivery.message_number = message.number
WHERE message.id = ANY(%b::uuid[]) ORDER BY delivery.number
"""
_ATTEMPTS = f"""
SELECT attempt.* FROM attempt JOIN delivery ON delivery.number = attempt.delivery
WHERE delivery.number = ANY(%b::bigint[])
ORDER BY delivery.number, (slot + {KEPT_ATTEMPTS} - 1 - tries %% {KEPT_ATTEMPTS}) %% {KEPT_ATTEMPTS}
"""
_PROGRESS = """
%b::text[], %b::integer[], %b::integer[], %b::bigint[], %b::bigint[], %b::text[]
"""
_CREATE = f"""
INSERT INTO delivery
    (number, message_number, endpoint, is_replay, created_at_ms, state, attempts, tries, due_at_ms,
    claimable_at_ms, settled_at_ms, reason)
SELECT {NEXT} + place, message.number, endpoint, is_replay, created_at_ms, state, attempts, tries,
    due_at_ms, due_at_ms, settled_at_ms, reason
FROM unnest(%b::uuid[], %b::text[], %b::boolean[], %b::bigint[], {_PROGRESS}) WITH ORDINALITY
    AS given (id, endpoint, is_replay, created_at_ms, state, attempts, tries, due_at_ms,
        settled_at_ms, reason, place)
JOIN message USING (id) WHERE deleted_at_ms IS NULL
"""
_CHANGE = f"""
UPDATE delivery SET
    state = given.state, attempts = given.attempts, tries = given.tries,
    due_at_ms = given.due_at_ms, claimable_at_ms = given.due_at_ms,
    settled_at_ms = given.settled_at_ms, reason = given.reason, lease = NULL, lapses = 0
FROM unnest(%b::bigint[], {_PROGRESS})
    AS given (number, state, attempts, tries, due_at_ms, settled_at_ms, reason)
WHERE delivery.number = given.number
"""


def kept_deliveries(connection: Connection, message_ids: Iterable[str]) -> list[KeptDelivery]:
    """Return the deliveries of messages in the order in which they were created."""
    return [
        KeptDelivery(
            row.number,
            DeliveryKey(str(row.message_id), row.endpoint, row.is_replay, row.created_at_ms),
            Progress(
                State(row.state),
                row.attempts,
                row.tries,
                row.due_at_ms,
                row.settled_at_ms,
                None if row.reason is None else original_text(row.reason),
            ),
        )
        for row in connection.exec_driver_sql(_OF_MESSAGES, (list(message_ids),))
    ]


def attempts_of_all(connection: Connection, numbers: Sequence[int]) -> Mapping[int, list[Attempt]]:
    """Return the attempts of deliveries, oldest first, by the numbers of these."""
    found = defaultdict[int, list[Attempt]](list)
    for row in connection.exec_driver_sql(_ATTEMPTS, (list(numbers),)):
        found[row.delivery].append(attempt_of(row))
    return found


def change_deliveries(connection: Connection, changes: Sequence[DeliveryChange]) -> None:
    """See Target.change_deliveries."""
    ids = dict.fromkeys(each.key.message_id for each in changes)
    known = {each.key: each.number for each in kept_deliveries(connection, ids)}
    new = [each for each in changes if each.key not in known]
    old = [each for each in changes if each.key in known]
    if new:
        keys = [list(column) for column in zip(*(each.key for each in new), strict=True)]
        connection.exec_driver_sql(_CREATE, (*keys, *_progress(new)))
        known = {each.key: each.number for each in kept_deliveries(connection, ids)}
    if old:
        numbers = [known[each.key] for each in old]
        locked(connection, numbers)
        connection.exec_driver_sql(_CHANGE, (numbers, *_progress(old)))
    # A message may have been deleted a moment ago, with its deliveries.
    there = [each for each in changes if each.key in known]
    keep_attempts(connection, [made for each in there for made in _made(known[each.key], each)])


def _progress(changes: Sequence[DeliveryChange]) -> Iterator[list[object]]:
    rows = [
        (
            progress.state.value,
            progress.attempts,
            progress.tries,
            progress.due_at_ms,
            progress.settled_at_ms,
            None if progress.reason is None else stored_text(progress.reason),
        )
        for progress in (each.progress for each in changes)
    ]
    return (list(column) for column in zip(*rows, strict=True))


def _made(number: int, change: DeliveryChange) -> Iterator[tuple[int, int, Attempt]]:
    """Yield the attempts, each with its position among all attempts of its delivery."""
    made = change.made or ()
    for position, attempt in enumerate(made, change.progress.tries - len(made) + 1):
        yield number, position, attempt
