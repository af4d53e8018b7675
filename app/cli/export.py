"""`flask gomail messages export`: stored messages as files for mail programs."""

import sys
from dataclasses import replace
from pathlib import Path

import click

from app.cli.exported_files import export_as_eml, export_as_mbox
from app.cli.filters import Filters, filter_options
from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.stored_content import read_all


@click.command()
@config_option
@filter_options
@click.option("--format", "kind", type=click.Choice(["eml", "mbox"]), default="eml")
@click.argument("directory", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
def export(config: Path | None, filters: Filters, kind: str, directory: Path) -> None:
    """Write stored messages to DIR: one ID.eml for each, or all to a new gomail.mbox.

    Each message begins with its envelope in X-Original- fields, so it can be delivered to GoMail
    again. A time is 2026-01-31, 2026-01-31T12:00Z, or an age such as 7d or 12h.
    """
    write = export_as_eml if kind == "eml" else export_as_mbox
    faults: list[str] = []
    with opened_store(config) as store:
        query = replace(filters.query(store), oldest_first=True)
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
