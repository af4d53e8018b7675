"""`flask gomail messages delete`, `purge` and `erase`: delete messages, and erase their bytes."""

import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Self

import click

from app.cli.opened_store import completed_store
from app.cli.options import config_option
from app.cli.parameters import Address, Age, quoted
from app.domains import comparable_address
from app.errors import MessageNotFound, StorageUnavailable
from app.storage.interface import MessageStore, Query
from app.storage.message import Reason, StoredMessage

_PIECE = 100
_ID = re.compile(r"[0-9a-f-]{36}")

_dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Only say how much would be deleted."
)


@dataclass(frozen=True)
class Amount:
    """A number of messages, and the sum of their sizes."""

    messages: int = 0
    bytes: int = 0

    def __add__(self, other: Self) -> "Amount":
        return Amount(self.messages + other.messages, self.bytes + other.bytes)

    def __str__(self) -> str:
        noun = "message" if self.messages == 1 else "messages"
        return f"{self.messages} {noun} ({self.bytes} bytes)"


@click.command()
@config_option
@_dry_run_option
@click.argument("message_ids", metavar="ID...", nargs=-1, required=True)
def delete(config: Path | None, dry_run: bool, message_ids: Sequence[str]) -> None:
    """Delete messages by their ids, and erase their bytes.

    An ID that no message has is named, and the exit code is 1 then; the others are deleted all the
    same.
    """
    with completed_store(config) as store:
        ids = list(dict.fromkeys(message_ids))
        found = [message for each in ids if (message := _get(store, each))]
        _delete(store, lambda: found, dry_run=dry_run)
    known = {message.message_id for message in found}
    unknown = [f"No message has the id {quoted(each)}." for each in ids if each not in known]
    if unknown:
        sys.exit("\n".join(unknown))


@click.command()
@config_option
@_dry_run_option
@click.option("--older-than", "age", type=Age(), required=True, help="Such as 30d or 12h.")
@click.option("--recipient", type=Address(), help="Only what was received for this address.")
def purge(config: Path | None, dry_run: bool, age: timedelta, recipient: str | None) -> None:
    """Delete all messages that were received longer ago than an age, and erase their bytes."""
    query = Query(recipient, until=datetime.now(UTC) - age, oldest_first=True)
    with completed_store(config) as store:
        _delete(store, lambda: store.search(query), dry_run=dry_run)


@click.command()
@config_option
@_dry_run_option
@click.option("--address", type=Address(), required=True, help="Upper and lower case are the same.")
def erase(config: Path | None, dry_run: bool, address: str) -> None:
    """Delete all messages from or to an address, for someone who asks to be forgotten.

    The addresses are those of the envelope, as `messages show` has them. A message that has the
    address only in its text is not found.
    """
    key = comparable_address(address)
    with completed_store(config) as store:
        _delete(store, lambda: _from_or_to(store, key), dry_run=dry_run)


def _from_or_to(store: MessageStore, key: str) -> Iterator[StoredMessage]:
    for message in store.search(Query(oldest_first=True)):
        envelope = message.envelope
        addresses = (envelope.sender, envelope.recipient, envelope.mail_from or "")
        if key in map(comparable_address, addresses):
            yield message


def _get(store: MessageStore, message_id: str) -> StoredMessage | None:
    if not _ID.fullmatch(message_id):
        return None
    try:
        return store.get(message_id)
    except MessageNotFound:
        return None


def _delete(
    store: MessageStore, find: Callable[[], Iterable[StoredMessage]], *, dry_run: bool
) -> None:
    """Delete what `find` yields; it is asked twice, since a million may not fit in memory."""
    expected = sum(map(_amount, find()), Amount())
    if dry_run:
        click.echo(f"{expected} would be deleted")
        return
    click.echo(f"Deleting {expected}")
    deleted = _remove(store, find(), expected.messages)
    try:
        store.erase()
    except StorageUnavailable as error:
        sys.exit(
            f"Deleted {deleted}, but not all of their bytes are erased yet: {_reason(error)}. A"
            " running server does that within a minute, a stopped one when it starts."
        )
    click.echo(f"Deleted {deleted}")


def _remove(store: MessageStore, found: Iterable[StoredMessage], expected: int) -> Amount:
    deleted = Amount()
    with click.progressbar(length=expected, label="Deleting", file=sys.stderr) as bar:
        try:
            for amount in _remove_pieces(store, found):
                deleted += amount
                bar.update(amount.messages)
        except StorageUnavailable as error:
            sys.exit(f"Only {deleted} could be deleted: {_reason(error)}. Run this again.")
    return deleted


def _remove_pieces(store: MessageStore, found: Iterable[StoredMessage]) -> Iterator[Amount]:
    pending = iter(found)
    while piece := list(islice(pending, _PIECE)):
        start = time.monotonic()
        removed = set(store.remove([message.message_id for message in piece], Reason.REQUEST))
        yield sum((_amount(each) for each in piece if each.message_id in removed), Amount())
        # Mail that comes in waits for the same lock, and gets as much time as this.
        time.sleep(time.monotonic() - start)


def _amount(message: StoredMessage) -> Amount:
    return Amount(1, message.size)


def _reason(error: StorageUnavailable) -> str:
    return str(error.__cause__ or error)
