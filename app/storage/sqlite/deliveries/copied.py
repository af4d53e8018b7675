"""Deliveries that are copied from store to store; each function is part of a transaction."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence

from sqlalchemy import Connection

from app.storage.copying.interface import DeliveryChange, DeliveryKey, KeptDelivery, Progress
from app.storage.delivery import Attempt, State
from app.storage.sqlite.deliveries.attempts import keep_attempts
from app.storage.sqlite.deliveries.settlement_files import Settlement

OF_MESSAGES = """
SELECT delivery.*, message.id AS message_id
FROM json_each(?) AS given
CROSS JOIN message ON message.id = given.value
CROSS JOIN delivery ON delivery.message_number = message.number
ORDER BY delivery.number
"""
_CREATE = """
INSERT INTO delivery
    (number, message_number, endpoint, is_replay, created_at_ms, state, attempts, tries, due_at_ms,
    claimable_at_ms, settled_at_ms, reason)
SELECT :number, number, :endpoint, :is_replay, :created_at_ms, :state, :attempts, :tries,
    :due_at_ms, :due_at_ms, :settled_at_ms, :reason
FROM message WHERE id = :message_id
"""
_CHANGE = """
UPDATE delivery SET
    state = :state, attempts = :attempts, tries = :tries, due_at_ms = :due_at_ms,
    claimable_at_ms = :due_at_ms, settled_at_ms = :settled_at_ms, reason = :reason,
    lease = NULL, lapses = 0
WHERE number = :number
"""


def kept_deliveries(connection: Connection, message_ids: Iterable[str]) -> list[KeptDelivery]:
    """Return the deliveries of messages in the order in which they were created."""
    given = (json.dumps(list(message_ids)),)
    return [
        KeptDelivery(
            row.number,
            DeliveryKey(row.message_id, row.endpoint, bool(row.is_replay), row.created_at_ms),
            Progress(
                State(row.state),
                row.attempts,
                row.tries,
                row.due_at_ms,
                row.settled_at_ms,
                row.reason,
            ),
        )
        for row in connection.exec_driver_sql(OF_MESSAGES, given)
    ]


def change_deliveries(
    connection: Connection,
    changes: Sequence[DeliveryChange],
    new_numbers: Callable[[int], Sequence[int]],
) -> list[Settlement]:
    """See Target.change_deliveries; those that are created get `new_numbers`.

    Return what has to be noted outside the database.
    """
    ids = dict.fromkeys(each.key.message_id for each in changes)
    before = {each.key: each for each in kept_deliveries(connection, ids)}
    new = [each.key for each in changes if each.key not in before]
    created = dict(zip(new, new_numbers(len(new)) if new else (), strict=True))
    known = {key: each.number for key, each in before.items()}
    for statement, numbers in ((_CREATE, created), (_CHANGE, known)):
        values = [_values(numbers[each.key], each) for each in changes if each.key in numbers]
        if values:
            connection.exec_driver_sql(statement, values)
    numbers = known | created
    keep_attempts(connection, [made for each in changes for made in _made(numbers[each.key], each)])
    settled = {key for key, each in before.items() if each.progress.state is not State.PENDING}
    return [
        _settlement(each)
        for each in changes
        if each.progress.state is not State.PENDING or each.key in settled
        if not each.key.is_replay
    ]


def _values(number: int, change: DeliveryChange) -> dict[str, object]:
    return {"number": number, **change.key._asdict(), **vars(change.progress)}


def _made(number: int, change: DeliveryChange) -> Iterator[tuple[int, int, Attempt]]:
    """Yield the attempts, each with its position among all attempts of its delivery."""
    made = change.made or ()
    for position, attempt in enumerate(made, change.progress.tries - len(made) + 1):
        yield number, position, attempt


def _settlement(change: DeliveryChange) -> Settlement:
    key, progress = change.key, change.progress
    at_ms = progress.settled_at_ms or 0
    return Settlement(key.message_id, key.endpoint, progress.state, at_ms, progress.reason)
