"""`flask gomail objects`: what concerns the object store."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

import click
from sqlalchemy import Connection

from app.cli.opened_store import storage_settings
from app.cli.options import config_option
from app.cli.table import counted
from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.objects.store import Objects
from app.storage.objects.sweep import Findings, sweep
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.failures import failures_as_unavailable
from app.storage.postgresql.objects import has_messages, named_among


@click.group()
def objects() -> None:
    """Tidy the object store up."""


@objects.command("sweep")
@config_option
@click.option("--delete", is_flag=True, help="Delete what is found, instead of only naming it.")
def sweep_command(config: Path | None, delete: bool) -> None:
    """Find objects that belong to no message and are older than 24 hours.

    They are left by processes that were killed while they stored a message, and by failures of the
    object store. Mail that comes in meanwhile is safe. When more than 1 % of the objects, and more
    than 10, seem to belong to no message, or all of them, nothing is deleted, and the exit code is
    1: then it is more likely that the database isn't the one they belong to, or older than they.
    """
    settings = storage_settings(config)
    if settings.objects is None:
        sys.exit("No object store is configured: set object_store_url.")
    stored = Objects(settings.objects, settings.timeout)
    try:
        with _connection(settings) as connection:
            run_sweep(stored, connection, stored.now(), delete=delete)
    except StorageUnavailable as error:
        sys.exit(f"The objects can't be compared with the database: {error.__cause__ or error}")


def run_sweep(stored: Objects, connection: Connection, now: datetime, *, delete: bool) -> None:
    """Sweep and say what was found, or end with 1 when it can't be right.

    `now` is the time by the object store's clock.
    """
    if not has_messages(connection):
        sys.exit("The database has no messages, so no object can be compared with them.")
    with sweep(stored, partial(named_among, connection)) as started:
        findings = started.search(now)
        _show(findings)
        if not findings.is_plausible:
            sys.exit(
                "Nothing is deleted, since these are more than 1 % of the objects: is this the"
                " database that they belong to, and as new as they are?"
            )
        if delete:
            click.echo(f"Deleted {counted(started.delete(), 'object', 'objects')}")
        elif findings.orphans:
            click.echo("Nothing is deleted without --delete")


def _show(findings: Findings) -> None:
    click.echo(
        f"{findings.orphans} of {counted(findings.objects, 'object', 'objects')}"
        f" ({findings.orphan_bytes} bytes) without a message, older than 24 hours"
    )
    for name in findings.examples:
        click.echo(f"  {name}")
    if findings.orphans > len(findings.examples):
        click.echo(f"  and {findings.orphans - len(findings.examples)} more")


@contextmanager
def _connection(settings: Storage) -> Iterator[Connection]:
    """Return a connection on which each statement is a transaction; raises StorageUnavailable."""
    with (
        closing(Connections(settings)) as connections,
        failures_as_unavailable(),
        connections.statements() as connection,
    ):
        yield connection
