"""`flask gomail messages list`: lists stored messages, and says how to list the next ones."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import click

from app.cli.filters import Filters, filter_options
from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.table import moment, table
from app.printable import escape
from app.reading.cursor import make_cursor
from app.storage.interface import MessageStore
from app.storage.message import StoredMessage

MOST_LISTED = 10**9


@click.command("list")
@config_option
@filter_options
@click.option("--limit", type=click.IntRange(1, MOST_LISTED), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_messages(config: Path | None, filters: Filters, limit: int, as_json: bool) -> None:
    """List stored messages, newest first; with --after, oldest first.

    A time is 2026-01-31, 2026-01-31T12:00Z, or an age such as 7d or 12h.
    """
    with opened_store(config) as store:
        query = replace(filters.query(store), limit=limit + 1)
        found = list(store.search(query))
        is_cut = len(found) > limit
        del found[limit:]
        lines = _as_json(store, found) if as_json else _table(found)
        if filters.after is not None:
            last = found[-1].number if found else None
            cursor = filters.after if last is None else make_cursor(store.identity(), last)
            click.echo(_how_to_list_later(cursor, limit, is_cut=is_cut), err=True)
        elif is_cut:
            click.echo(_how_to_list_older(found, limit), err=True)
    click.echo(lines)


def _as_json(store: MessageStore, found: Sequence[StoredMessage]) -> str:
    from app.reading.describe import summarize  # noqa: PLC0415 -- lxml takes 50 ms

    identity = store.identity()
    summaries = [summarize(each, make_cursor(identity, each.number)) for each in found]
    return json.dumps(summaries, indent=2)


def _table(found: Sequence[StoredMessage]) -> str:
    heads = ("ID", "RECEIVED (UTC)", "SIZE", "SENDER", "RECIPIENT", "SUBJECT")
    return table([heads, *map(_row, found)])


def _how_to_list_older(found: Sequence[StoredMessage], limit: int) -> str:
    last = found[-1]
    if all(each.received_at <= last.received_at for each in found):  # all would be listed again
        return f"Only the newest {limit} are listed. For older ones set --limit higher."
    # Other messages may have arrived in the same millisecond, so the last one is listed again.
    until = (last.received_at + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
    return (
        f"Only the newest {limit} are listed. For older ones add --until {until} (which lists the"
        " last one again), or set --limit higher."
    )


def _how_to_list_later(cursor: str, limit: int, *, is_cut: bool) -> str:
    beginning = f"Only the first {limit} are listed. For the next" if is_cut else "For newer"
    return f"{beginning} ones add --after {shlex.quote(cursor)}"


def _row(message: StoredMessage) -> tuple[str, ...]:
    envelope = message.envelope
    return (
        message.message_id,
        moment(message.received_at),
        str(message.size),
        escape(envelope.sender) or "<>",
        escape(envelope.recipient),
        escape(message.subject),
    )
