"""`flask gomail endpoints pause` and `resume`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from app.cli.endpoint_notes import note_what_waits
from app.cli.opened_store import opened, valid_settings
from app.cli.options import config_option
from app.cli.parameters import quoted
from app.deliveries.endpoint_status import REQUESTED, endpoint_status
from app.errors import EndpointNotFound
from app.settings import Settings
from app.storage.delivery_queue import DeliveryQueue


@click.command()
@config_option
@click.argument("name")
def pause(config: Path | None, name: str) -> None:
    """Stop deliveries to an endpoint until it is resumed; none is lost.

    Requests in flight are completed.
    """
    with _queue(valid_settings(config), name) as queue:
        queue.pause(name, REQUESTED)
    click.echo(f"{name} is paused")


@click.command()
@config_option
@click.argument("name")
def resume(config: Path | None, name: str) -> None:
    """End a pause, also one that an answer 410 from the endpoint has caused."""
    settings = valid_settings(config)
    with _queue(settings, name) as queue:
        was_paused = name in queue.paused()
        queue.resume(name)
        click.echo(f"{name} is resumed" if was_paused else f"{name} was not paused")
        note_what_waits(settings.deliveries.endpoints, queue, [name])


@contextmanager
def _queue(settings: Settings, name: str) -> Iterator[DeliveryQueue]:
    """Open the queue, or exit with 1 if no endpoint has this name."""
    with opened(settings.storage, to_write=True) as store:
        endpoints = settings.deliveries.endpoints
        try:
            endpoint_status(name, endpoints, store.deliveries)
        except EndpointNotFound as error:
            known = ", ".join(endpoint.name for endpoint in endpoints) or "none"
            text = f"No endpoint has the name {quoted(name)} (configured: {known})."
            raise EndpointNotFound(text) from error
        yield store.deliveries
