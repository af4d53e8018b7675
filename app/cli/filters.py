"""The options that select messages, shared by several commands."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import click

from app.cli.parameters import Moment, Text
from app.reading.cursor import parse_cursor
from app.storage.interface import MessageStore, Query

Command = Callable[..., None]

_OPTIONS = (
    click.option("--recipient", type=Text(), help="Envelope recipient, in upper or lower case."),
    click.option(
        "--sender",
        type=Text(),
        help="Envelope sender, in upper or lower case; '<>' finds bounces.",
    ),
    click.option(
        "--subject",
        type=Text(),
        metavar="TEXT",
        help="Text in the subject, in upper or lower case.",
    ),
    click.option("--since", type=Moment(), help="Received at this time (UTC) or later."),
    click.option("--until", type=Moment(), help="Received before this time (UTC)."),
    click.option(
        "--after",
        metavar="CURSOR",
        help="Only messages after this cursor, oldest first; '' starts with the oldest message.",
    ),
)


@dataclass(frozen=True)
class Filters:
    """The values of the options; None for an option that wasn't given."""

    recipient: str | None
    sender: str | None
    subject: str | None
    since: datetime | None
    until: datetime | None
    after: str | None

    def query(self, store: MessageStore) -> Query:
        """Return the query for messages that match all filters; oldest first if `after` was given.

        Raises BadRequest unless the cursor was made for this store, and StorageUnavailable.
        """
        return Query(
            recipient=self.recipient,
            sender="" if self.sender == "<>" else self.sender,
            subject=self.subject,
            since=self.since,
            until=self.until,
            after=parse_cursor(self.after, store.identity()) if self.after else None,
            oldest_first=self.after is not None,
        )


def filter_options(command: Command) -> Command:
    """Add the options to `command`, which receives them as one argument, `filters`."""

    @functools.wraps(command)
    def with_filters(**given: Any) -> None:
        names = Filters.__dataclass_fields__
        filters = Filters(**{name: given.pop(name) for name in names})
        command(filters=filters, **given)

    for option in reversed(_OPTIONS):
        with_filters = option(with_filters)
    return with_filters
