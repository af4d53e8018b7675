"""`flask gomail deliveries retry` and `discard`."""

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import click

from app.cli.delivery_filters import DeliveryFilters, delivery_filter_options, matching
from app.cli.endpoint_notes import note_what_waits
from app.cli.opened_store import opened, valid_settings
from app.cli.options import config_option
from app.cli.parameters import quoted
from app.cli.table import counted
from app.deliveries.delivery_id import delivery_id, delivery_number
from app.errors import DeliveryNotFound
from app.storage.delivery import Delivery, DeliveryQuery, State
from app.storage.delivery_queue import DeliveryQueue

Decide = Callable[[Sequence[int]], list[int]]
"""Returns the numbers of the deliveries that it changed."""

_PIECE = 100


@click.command()
@config_option
@delivery_filter_options
@click.argument("identities", metavar="[ID]...", nargs=-1)
def retry(config: Path | None, filters: DeliveryFilters, identities: Sequence[str]) -> None:
    """Make deliveries due now, with all their attempts ahead: by ID, or all that match options.

    With options but without --state, only dead deliveries are retried. If no delivery has an ID,
    the command says so and exits with 1, after retrying the others.
    """
    if bool(identities) != filters.is_empty():
        raise click.UsageError("Give either ids, or options such as --endpoint or --state")
    settings = valid_settings(config)
    with opened(settings.storage, to_write=True) as store:
        queue = store.deliveries
        if identities:
            known, faults = _by_id(queue, identities)
            chosen: Iterable[Delivery] = known
        else:
            query = filters.query(store)
            chosen, faults = _by_query(queue, query), []
        retried = Counter(each.endpoint for each in _in_pieces(chosen, _retry_in(queue)))
        click.echo(f"Retrying {counted(retried.total(), 'delivery', 'deliveries')}")
        note_what_waits(settings.deliveries.endpoints, queue, retried)
    if faults:
        sys.exit("\n".join(faults))


@click.command()
@config_option
@click.argument("identities", metavar="ID...", nargs=-1, required=True)
def discard(config: Path | None, identities: Sequence[str]) -> None:
    """Discard pending and dead deliveries: they are not sent any more, unless they are retried.

    If an ID is unknown, or its delivery is already delivered, the command says so and exits with
    1, after discarding the others.
    """
    with opened(valid_settings(config).storage, to_write=True) as store:
        queue = store.deliveries
        known, faults = _by_id(queue, identities)
        discarded = {each.number for each in _in_pieces(known, queue.discard)}
        faults += [
            f"{delivery_id(each.number)} is already delivered, and can't be discarded."
            for each in known
            if each.number not in discarded and queue.get(each.number)[0].state is State.DELIVERED
        ]
    click.echo(f"Discarded {counted(len(discarded), 'delivery', 'deliveries')}")
    if faults:
        sys.exit("\n".join(faults))


def _by_id(queue: DeliveryQueue, identities: Sequence[str]) -> tuple[list[Delivery], list[str]]:
    """Return the deliveries with these ids, and a line for each unknown id."""
    found: list[Delivery] = []
    faults: list[str] = []
    for identity in dict.fromkeys(identities):
        try:
            delivery, _ = queue.get(delivery_number(identity))
        except DeliveryNotFound:
            faults.append(f"No delivery has the id {quoted(identity)}.")
        else:
            found.append(delivery)
    return found, faults


def _by_query(queue: DeliveryQueue, query: DeliveryQuery) -> Iterator[Delivery]:
    """Yield the deliveries that match and exist now; dead ones unless `query` has a state."""
    newest = queue.find(DeliveryQuery(limit=1)).deliveries
    if newest:
        state = query.state or State.DEAD
        bounded = replace(query, state=state, before=newest[0].number + 1, oldest_first=True)
        yield from matching(queue, bounded)


def _retry_in(queue: DeliveryQueue) -> Decide:
    return lambda numbers: queue.retry(numbers, datetime.now(UTC))


def _in_pieces(chosen: Iterable[Delivery], decide: Decide) -> Iterator[Delivery]:
    """Apply `decide` to the chosen deliveries in pieces, and yield those that it changed."""
    undecided = iter(chosen)
    while piece := list(islice(undecided, _PIECE)):
        start = time.monotonic()
        decided = set(decide([each.number for each in piece]))
        yield from (each for each in piece if each.number in decided)
        # Incoming mail waits for the same lock, and gets as much time as this command.
        time.sleep(time.monotonic() - start)
