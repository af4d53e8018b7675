"""`flask gomail store copy`: moves an installation from SQLite to PostgreSQL, and back."""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import click

from app.cli.opened_store import (
    exit_if_empty,
    exit_if_root_would_own,
    failures_end_the_command,
    storage_settings,
)
from app.cli.options import config_option
from app.errors import StorageUnavailable
from app.settings import Storage, inspect
from app.settings.files import real_path
from app.storage.copied_stores import open_source, open_target
from app.storage.copying.copier import Report
from app.storage.copying.copier import copy as copy_store
from app.storage.copying.interface import Source, Target
from app.storage.interface import Query


@click.command()
@config_option
@click.option(
    "--to",
    "place",
    metavar="URL",
    required=True,
    help="postgresql://… as in database_url, or the path of a data directory.",
)
def copy(config: Path | None, place: str) -> None:
    """Copy all that is stored to another store: messages, deletions and deliveries.

    The server may go on receiving meanwhile. Stop it later and run this again: it copies what has
    come and changed since. Start servers and delivery processes of the target only after that last
    run, or what is in both stores would be delivered by both.

    The checksum of each copy is compared. Messages that can't be read as they were received are
    named, and the exit code is 1 then; the others are copied. Once interrupted, run it again.
    """
    settings = storage_settings(config)
    to = _target_settings(settings, place)
    with failures_end_the_command(settings):
        exit_if_empty(settings)
        exit_if_root_would_own(settings)
        source = open_source(settings)
    with closing(source), _opened_target(to, source) as target:
        report = _copied(source, target)
        only_in_target = target.store.statistics().messages - report.copied - report.there
    _say(report, only_in_target)
    if report.faults:
        sys.exit("\n".join([*report.faults, _failed(report)]))


@contextmanager
def _opened_target(settings: Storage, source: Source) -> Iterator[Target]:
    with failures_end_the_command(settings):
        target = open_target(settings, source)
    with closing(target):
        yield target


def _target_settings(settings: Storage, place: str) -> Storage:
    """Return the settings of the target, or end with 2 and what is wrong with its place."""
    is_url = "://" in place
    key = "database_url" if is_url else "data_dir"
    faults = inspect({key: place}, {}, Path("/dev/null")).errors
    wrong = [fault.message for fault in faults if fault.setting == key]
    if wrong:
        raise click.BadParameter("; ".join(wrong), param_hint="--to")
    if is_url:
        return replace(settings, database_url=place, objects=None)
    return replace(settings, data_dir=real_path(place), database_url=None, objects=None)


def _copied(source: Source, target: Target) -> Report:
    try:
        count = source.store.count(Query())
        with click.progressbar(length=count, label="Copying", file=sys.stderr) as bar:
            return copy_store(source, target, bar.update)
    except StorageUnavailable as error:
        sys.exit(
            f"The copy isn't complete: {error.__cause__ or error}. What was copied is kept: run"
            " this again."
        )


def _say(report: Report, only_in_target: int) -> None:
    click.echo(
        f"Copied {_messages(report.copied)} ({report.copied_bytes} bytes); each was read again, and"
        " its SHA-256 is that of the original"
    )
    click.echo(f"{_messages(report.there)} in the target already, with the same SHA-256")
    click.echo(
        f"Copied {report.tombstones} deletions; {_messages(report.removed)} removed from the target"
    )
    click.echo(f"{report.deliveries} deliveries are new or changed")
    if report.deleted_in_target:
        click.echo(f"{_messages(report.deleted_in_target)} not copied: deleted in the target")
    if only_in_target > 0:
        click.echo(
            f"{_messages(only_in_target)} in the target only: received there, or deleted in the"
            " source so long ago that it has forgotten them (deduplication_days)"
        )


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _failed(report: Report) -> str:
    count = len(report.faults)
    return f"{_messages(count)} could not be copied as received"
