"""`flask gomail messages verify`: reads all that is stored, and says what is damaged or missing."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.stored_content import read_all
from app.settings import Storage, load
from app.storage.interface import MessageStore, Query
from app.storage.preparation import damaged_parts, leftovers, segments


@click.command()
@config_option
def verify(config: Path | None) -> None:
    """Read every message and compare checksums; say which are damaged or missing.

    Prints a line for each of them, which begins with its id, and one for each part of a segment
    that is damaged; the exit code is 1 then. Files in segments/leftovers are named as well.
    """
    with opened_store(config) as store:
        settings = load(config=config).storage
        count, faults = _verify_messages(store)
        damage = _verify_segments(settings)
        kept = leftovers(settings)
    for line in faults + damage:
        click.echo(line)
    for each in kept:
        click.echo(f"segments/leftovers/{each.name}: {each.size} bytes without a message")
    if not faults:
        click.echo(f"All {count} messages are as they were received")
    problems = _problems(count, faults, damage)
    if problems:
        sys.exit("\n".join(problems))


def _problems(count: int, faults: Sequence[str], damage: Sequence[str]) -> list[str]:
    problems = []
    if faults:
        problems.append(f"{len(faults)} of {count} messages can't be read as they were received")
    if damage:
        noun = "part" if len(damage) == 1 else "parts"
        problems.append(f"{len(damage)} {noun} of segments can't be read as records")
    return problems


def _verify_messages(store: MessageStore) -> tuple[int, list[str]]:
    everything, faults = Query(oldest_first=True), list[str]()
    stored, count = store.search(everything), store.count(everything)
    with click.progressbar(stored, count, label="Verifying", file=sys.stderr) as bar:
        for _ in read_all(store, bar, faults):
            pass
    return count, faults


def _verify_segments(settings: Storage) -> list[str]:
    with click.progressbar(segments(settings), label="Reading segments", file=sys.stderr) as bar:
        return [line for path in bar for line in _damage(path)]


def _damage(segment: Path) -> Iterator[str]:
    try:
        parts = damaged_parts(segment)
    except OSError as error:
        yield f"segments/{segment.name}: can't be read: {error.strerror}"
        return
    for part in parts:
        yield f"segments/{part.segment}: damaged from byte {part.start} to {part.end}"
