"""`flask gomail messages`: reads and deletes stored messages at a terminal."""

import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path

import click

from app.cli.deletion import delete, erase, purge
from app.cli.export import export_as_eml, export_as_mbox
from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.parameters import Moment
from app.cli.stored_content import read_all
from app.cli.verify import verify
from app.printable import escape
from app.storage.interface import Query
from app.storage.message import StoredMessage


def _filter_options(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--until", type=Moment(), help="Received before this time (UTC)."),
        click.option("--since", type=Moment(), help="Received at this time (UTC) or later."),
        click.option("--recipient", help="Received for this address."),
        config_option,
    ):
        command = option(command)
    return command


@click.group()
def messages() -> None:
    """List, show, export, verify and delete stored messages."""


for _command in (delete, erase, purge, verify):
    messages.add_command(_command)


@messages.command("list")
@_filter_options
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_messages(  # noqa: PLR0913, PLR0917 -- one argument an option
    config: Path | None,
    recipient: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List stored messages, newest first."""
    with opened_store(config) as store:
        found = list(store.search(Query(recipient, since, until, limit + 1)))
    if len(found) > limit:
        del found[limit:]
        click.echo(_how_to_go_on(found[-1], limit), err=True)
    if as_json:
        click.echo(json.dumps([_as_json(message) for message in found], indent=2))
        return
    click.echo(_table(found))


@messages.command()
@config_option
@click.option("--raw", is_flag=True, help="Write exactly the bytes that were received.")
@click.argument("message_id", metavar="ID")
def show(config: Path | None, message_id: str, raw: bool) -> None:
    """Show one message: its envelope, then the message with control characters escaped."""
    with opened_store(config) as store:
        content = store.read(message_id)
        if raw:
            sys.stdout.buffer.write(content)
            return
        for name, value in _as_json(store.get(message_id)).items():
            click.echo(f"{name + ':':17}{'' if value is None else escape(str(value))}")
    click.echo()
    for line in content.decode("utf-8", "replace").splitlines():
        click.echo(escape(line))


@messages.command()
@_filter_options
@click.option("--format", "kind", type=click.Choice(["eml", "mbox"]), default="eml")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def export(  # noqa: PLR0913, PLR0917 -- one argument an option
    config: Path | None,
    recipient: str | None,
    since: datetime | None,
    until: datetime | None,
    kind: str,
    directory: Path,
) -> None:
    """Write stored messages to DIR: one ID.eml for each, or all to a new gomail.mbox.

    Both begin with the envelope in X-Original- fields, so that they can be sent in again.
    """
    query = Query(recipient, since, until, oldest_first=True)
    write = export_as_eml if kind == "eml" else export_as_mbox
    faults: list[str] = []
    with opened_store(config) as store:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        bar = click.progressbar(
            store.search(query), length=store.count(query), label="Exporting", file=sys.stderr
        )
        with bar as found:
            exported = write(read_all(store, found, faults), directory)
    noun = "message" if exported == 1 else "messages"
    click.echo(f"Exported {exported} {noun} to {directory}")
    if faults:
        sys.exit("\n".join(faults))


def _how_to_go_on(last: StoredMessage, limit: int) -> str:
    # Others may have come in the same millisecond, so the last one is listed again.
    until = (last.received_at + timedelta(milliseconds=1)).isoformat(timespec="milliseconds")
    return (
        f"Only the newest {limit} are listed. For older ones add --until {until} (which begins with"
        " the last one again), or set --limit higher."
    )


def _as_json(message: StoredMessage) -> dict[str, object]:
    envelope = asdict(message.envelope)
    return {
        "id": message.message_id,
        "received_at": message.received_at.isoformat(),
        "size": message.size,
        "sha256": message.sha256.hex(),
        "subject": message.subject,
        **envelope.pop("connection"),
        **envelope,
    }


def _table(found: list[StoredMessage]) -> str:
    rows = [("ID", "RECEIVED (UTC)", "SIZE", "SENDER", "RECIPIENT", "SUBJECT"), *map(_row, found)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(message: StoredMessage) -> tuple[str, ...]:
    envelope = message.envelope
    return (
        message.message_id,
        f"{message.received_at:%Y-%m-%d %H:%M:%S}",
        str(message.size),
        escape(envelope.sender) or "<>",
        escape(envelope.recipient),
        escape(message.subject),
    )
