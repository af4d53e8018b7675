"""Notes about endpoints that don't get their deliveries at the moment."""

from collections.abc import Collection, Sequence

import click

from app.deliveries.endpoint_status import (
    NOT_CONFIGURED,
    EndpointState,
    EndpointStatus,
    endpoint_statuses,
)
from app.settings.endpoints import Endpoint
from app.storage.delivery_queue import DeliveryQueue


def note_what_waits(
    endpoints: Sequence[Endpoint], queue: DeliveryQueue, names: Collection[str]
) -> None:
    """Print a line on standard error for each of `names` whose deliveries wait.

    Raises StorageUnavailable.
    """
    for status in endpoint_statuses(endpoints, queue):
        if status.name in names and status.state is not EndpointState.CLOSED:
            click.echo(_note(status), err=True)


def _note(status: EndpointStatus) -> str:
    name = status.name
    if status.reason == NOT_CONFIGURED:
        return f"{name} is not configured: its deliveries wait until it is added."
    if status.state is EndpointState.PAUSED:
        return f"{name} is paused ({status.reason}): run `flask gomail endpoints resume {name}`."
    return f"{name} keeps failing ({status.reason}): it gets only a probe, at most every 5 minutes."
