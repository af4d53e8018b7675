"""`flask gomail deliveries list`: lists deliveries, and says how to list the next ones."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import click

from app.cli.delivery_filters import DeliveryFilters, delivery_filter_options, matching
from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.table import moment, table
from app.deliveries.delivery_id import delivery_id
from app.printable import escape
from app.reading.cursor import make_cursor, parse_cursor
from app.storage.delivery import Delivery, DeliveryQuery
from app.storage.interface import MessageStore

MOST_LISTED = 10**9


@click.command("list")
@config_option
@delivery_filter_options
@click.option(
    "--after",
    metavar="CURSOR",
    help="Only deliveries after this cursor, oldest first; '' starts with the oldest delivery.",
)
@click.option(
    "--before", metavar="CURSOR", help="Only deliveries before this cursor, newest first."
)
@click.option("--limit", type=click.IntRange(1, MOST_LISTED), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_deliveries(  # noqa: PLR0913, PLR0917 -- its options
    config: Path | None,
    filters: DeliveryFilters,
    after: str | None,
    before: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List deliveries, newest first; with --after, oldest first.

    A delivery is one message for one endpoint. A time is 2026-01-31, 2026-01-31T12:00Z, or an age
    such as 7d or 12h.
    """
    if after is not None and before is not None:
        raise click.UsageError("--after and --before can't be used together")
    with opened_store(config) as store:
        identity = store.identity()
        query = _placed(filters.query(store), identity, after, before)
        found = list(islice(matching(store.deliveries, query), limit + 1))
        is_cut = len(found) > limit
        del found[limit:]
        lines = _as_json(store, found) if as_json else _table(found)
    if after is not None:
        cursor = make_cursor(identity, found[-1].number) if found else after
        click.echo(_how_to_list_later(cursor, limit, is_cut=is_cut), err=True)
    elif is_cut:
        cursor = make_cursor(identity, found[-1].number)
        click.echo(
            f"Only the newest {limit} are listed. For older ones add --before {cursor}", err=True
        )
    click.echo(lines)


def _placed(
    query: DeliveryQuery, identity: bytes, after: str | None, before: str | None
) -> DeliveryQuery:
    return replace(
        query,
        after=parse_cursor(after, identity) if after else None,
        before=parse_cursor(before, identity) if before else None,
        oldest_first=after is not None,
    )


def _as_json(store: MessageStore, found: Sequence[Delivery]) -> str:
    from app.deliveries.describe import summarize_delivery  # noqa: PLC0415 -- marshmallow is slow

    identity = store.identity()
    summaries = [summarize_delivery(each, make_cursor(identity, each.number)) for each in found]
    return json.dumps(summaries, indent=2)


def _table(found: Sequence[Delivery]) -> str:
    heads = (
        *("ID", "CREATED (UTC)", "ENDPOINT", "STATE", "ATTEMPTS", "NEXT (UTC)", "REASON"),
        "RECIPIENT",
    )
    return table([heads, *map(_row, found)])


def _row(delivery: Delivery) -> tuple[str, ...]:
    return (
        delivery_id(delivery.number),
        moment(delivery.created_at),
        escape(delivery.endpoint),
        delivery.state,
        str(delivery.attempts),
        moment(delivery.due_at),
        escape(delivery.reason or ""),
        escape(delivery.recipient),
    )


def _how_to_list_later(cursor: str, limit: int, *, is_cut: bool) -> str:
    beginning = f"Only the first {limit} are listed. For the next" if is_cut else "For newer"
    return f"{beginning} ones add --after {shlex.quote(cursor)}"
