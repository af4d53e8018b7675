"""`flask gomail messages verify`: reads all that is stored, and says what is damaged or missing."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.errors import MessageCorrupt, MessageNotFound, StorageUnavailable
from app.settings import load
from app.storage.interface import MessageStore, Query
from app.storage.message import StoredMessage
from app.storage.preparation import leftovers


@click.command()
@config_option
def verify(config: Path | None) -> None:
    """Read every message and compare checksums; say which are damaged or missing.

    Prints a line for each of them, which begins with its id; the exit code is 1 then.
    """
    everything = Query(oldest_first=True)
    with opened_store(config) as store:
        stored, count = store.search(everything), store.count(everything)
        with click.progressbar(stored, count, label="Verifying", file=sys.stderr) as bar:
            faults = list(_faults(store, bar))
        for fault in faults:
            click.echo(fault)
        for each in leftovers(load(config=config).storage):
            click.echo(f"segments/leftovers/{each.name}: {each.size} bytes without a message")
    if faults:
        sys.exit(f"{len(faults)} of {count} messages can't be read as they were received")
    click.echo(f"All {count} messages are as they were received")


def _faults(store: MessageStore, messages: Iterable[StoredMessage]) -> Iterator[str]:
    for message in messages:
        try:
            store.read(message.message_id)
        except MessageCorrupt:
            yield f"{message.message_id}: damaged: the bytes don't match their checksum"
        except StorageUnavailable as error:
            yield f"{message.message_id}: {_reason(error)}"
        except MessageNotFound:
            continue  # it was removed a moment ago


def _reason(error: StorageUnavailable) -> str:
    cause = error.__cause__
    if isinstance(cause, FileNotFoundError):
        return f"missing: segments/{Path(cause.filename).name} isn't there"
    return f"can't be read: {getattr(cause, 'strerror', None) or cause or error}"
