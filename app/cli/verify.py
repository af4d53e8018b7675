"""`flask gomail messages verify`: reads all that is stored, and says what is damaged or missing."""

import sys
from pathlib import Path

import click

from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.stored_content import read_all
from app.settings import load
from app.storage.interface import Query
from app.storage.preparation import leftovers


@click.command()
@config_option
def verify(config: Path | None) -> None:
    """Read every message and compare checksums; say which are damaged or missing.

    Prints a line for each of them, which begins with its id; the exit code is 1 then.
    """
    everything, faults = Query(oldest_first=True), list[str]()
    with opened_store(config) as store:
        stored, count = store.search(everything), store.count(everything)
        with click.progressbar(stored, count, label="Verifying", file=sys.stderr) as bar:
            for _ in read_all(store, bar, faults):
                pass
        for fault in faults:
            click.echo(fault)
        for each in leftovers(load(config=config).storage):
            click.echo(f"segments/leftovers/{each.name}: {each.size} bytes without a message")
    if faults:
        sys.exit(f"{len(faults)} of {count} messages can't be read as they were received")
    click.echo(f"All {count} messages are as they were received")
