"""`flask gomail store`: what concerns the store as a whole."""

import sys
from contextlib import closing
from pathlib import Path

import click

from app.cli.lazy_group import LazyGroup
from app.cli.opened_store import (
    exit_if_empty,
    exit_if_root_would_own,
    failures_end_the_command,
    storage_settings,
)
from app.cli.options import config_option
from app.settings import Storage
from app.storage.factory import open_store, place_of
from app.storage.preparation import reindex as make_anew
from app.storage.preparation import segments


@click.group(cls=LazyGroup, places={"copy": "app.cli.store_copy:copy"})
def store() -> None:
    """Copy all that is stored to another place, or make its index anew."""


@store.command()
@config_option
def reindex(config: Path | None) -> None:
    """Make gomail.db anew from the segments; the server must be stopped.

    The old one stays in place until the new one is whole. A start does the same by itself when
    gomail.db is missing, damaged or a copy.
    """
    settings = storage_settings(config)
    if settings.database_url is not None:
        sys.exit(
            f"There is nothing to reindex: the messages are in {place_of(settings)}, which is no"
            " index of files."
        )
    with failures_end_the_command(settings):
        exit_if_empty(settings)
        exit_if_root_would_own(settings)
        size = sum(path.stat().st_size for path in segments(settings))
        with click.progressbar(length=size, label="Reading segments", file=sys.stderr) as bar:
            completed = make_anew(settings, bar.update)
        stored = _stored(settings)
    click.echo(
        f"gomail.db is made anew from {size} bytes of segments: {stored} messages,"
        f" {completed.deletions} deletions"
    )
    if completed.torn_bytes:
        click.echo(f"{completed.torn_bytes} bytes that were never acknowledged are removed")
    for part in completed.passed_over:
        click.echo(f"segments/{part.segment}: damaged from byte {part.start} to {part.end}")
    for leftover in completed.leftovers:
        click.echo(
            f"segments/leftovers/{leftover.name}: {leftover.size} bytes that are no record, and may"
            " be mail"
        )


def _stored(settings: Storage) -> int:
    with closing(open_store(settings)) as opened:
        return opened.statistics().messages
