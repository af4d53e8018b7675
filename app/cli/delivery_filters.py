"""The options that select deliveries, shared by several commands."""

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import click

from app.cli.message_id import complete_id
from app.cli.parameters import Moment, Text
from app.storage.delivery import Delivery, DeliveryQuery, State
from app.storage.delivery_queue import DeliveryQueue
from app.storage.interface import MessageStore

Command = Callable[..., None]

_PAGE = 200
_OPTIONS = (
    click.option("--endpoint", type=Text(), metavar="NAME", help="Deliveries to this endpoint."),
    click.option(
        "--state",
        type=click.Choice([str(each) for each in State]),
        help="Deliveries in this state.",
    ),
    click.option("--message", metavar="ID", help="Deliveries of this message."),
    click.option("--recipient", type=Text(), help="Envelope recipient, in upper or lower case."),
    click.option("--since", type=Moment(), help="Created at this time (UTC) or later."),
    click.option("--until", type=Moment(), help="Created before this time (UTC)."),
)


@dataclass(frozen=True)
class DeliveryFilters:
    """The values of the options; None for an option that wasn't given."""

    endpoint: str | None
    state: str | None
    message: str | None
    recipient: str | None
    since: datetime | None
    until: datetime | None

    def is_empty(self) -> bool:
        """Return whether no option was given."""
        return all(value is None for value in vars(self).values())

    def query(self, store: MessageStore) -> DeliveryQuery:
        """Return the query for deliveries that match all filters.

        Raises MessageNotFound, StorageUnavailable.
        """
        return DeliveryQuery(
            endpoint=self.endpoint,
            state=State(self.state) if self.state else None,
            message_id=None if self.message is None else complete_id(store, self.message),
            recipient=self.recipient,
            since=self.since,
            until=self.until,
            limit=_PAGE,
        )


def delivery_filter_options(command: Command) -> Command:
    """Add the options to `command`, which receives them as one argument, `filters`."""

    @functools.wraps(command)
    def with_filters(**given: Any) -> None:
        names = DeliveryFilters.__dataclass_fields__
        filters = DeliveryFilters(**{name: given.pop(name) for name in names})
        command(filters=filters, **given)

    for option in reversed(_OPTIONS):
        with_filters = option(with_filters)
    return with_filters


def matching(queue: DeliveryQueue, query: DeliveryQuery) -> Iterator[Delivery]:
    """Yield all matching deliveries, reading page by page; raises StorageUnavailable."""
    while True:
        page = queue.find(query)
        yield from page.deliveries
        if not page.has_more:
            return
        if query.oldest_first:
            query = replace(query, after=page.position)
        else:
            query = replace(query, before=page.position)
