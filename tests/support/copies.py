"""What two stores have to have in common after one was copied to the other."""

from contextlib import closing
from dataclasses import replace

from app.settings import Storage
from app.storage.copied_stores import open_source, open_target
from app.storage.copying.copier import Report, copy
from app.storage.delivery import DeliveryQuery
from app.storage.interface import MessageStore, Query


def copied(source: Storage, target: Storage) -> Report:
    """Copy what one store has and the other hasn't."""
    with closing(open_source(source)) as opened, closing(open_target(target, opened)) as other:
        return copy(opened, other)


def contents(store: MessageStore) -> object:
    """Return all that can be told of a store but for its numbers, which are its own."""
    messages = [
        (replace(each, number=0), store.read(each.message_id))
        for each in store.search(Query(oldest_first=True))
    ]
    queue = store.deliveries
    found = queue.find(DeliveryQuery(limit=100_000, oldest_first=True)).deliveries
    deliveries = [
        (replace(each, number=0, message_number=0), queue.get(each.number)[1]) for each in found
    ]
    figures = sorted((each.endpoint, each.state, each.count) for each in queue.figures())
    replays = [replace(each, number=0, position=0) for each in queue.replays()]
    return messages, deliveries, figures, dict(queue.paused()), replays
