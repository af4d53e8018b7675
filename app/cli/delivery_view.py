"""`flask gomail deliveries show`: shows one delivery with its attempts."""

import json
from collections.abc import Iterator
from pathlib import Path

import click

from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.parameters import quoted
from app.cli.table import moment
from app.deliveries.delivery_id import delivery_id, delivery_number
from app.deliveries.signing import webhook_id
from app.errors import DeliveryNotFound
from app.printable import escape
from app.storage.delivery import Attempt, Delivery


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the delivery as the API returns it.")
@click.argument("identity", metavar="ID")
def show(config: Path | None, identity: str, as_json: bool) -> None:
    """Show one delivery, and its last 20 attempts of the past 30 days.

    Each attempt is shown with its time, address, status, duration and error, and the first KiB of
    the answer.
    """
    with opened_store(config) as store:
        try:
            delivery, attempts = store.deliveries.get(delivery_number(identity))
        except DeliveryNotFound as error:
            raise DeliveryNotFound(f"No delivery has the id {quoted(identity)}.") from error
    if as_json:
        from app.deliveries.describe import describe_delivery  # noqa: PLC0415 -- marshmallow

        click.echo(json.dumps(describe_delivery(delivery, attempts), indent=2))
        return
    for name, value in _members(delivery):
        if value:
            click.echo(f"{name}: {escape(value)}")
    for attempt in attempts:
        click.echo("")
        for line in _lines(attempt):
            click.echo(line)


def _members(delivery: Delivery) -> Iterator[tuple[str, str | None]]:
    yield "ID", delivery_id(delivery.number)
    yield "Message", delivery.message_id
    yield "Webhook id", webhook_id(delivery.message_id)
    yield "Endpoint", delivery.endpoint
    yield "Recipient", delivery.recipient
    yield "State", delivery.state + (f", {delivery.reason}" if delivery.reason else "")
    yield "Created", f"{moment(delivery.created_at)} UTC" + (", by a replay" * delivery.is_replay)
    yield "Attempts", str(delivery.attempts)
    if delivery.due_at:
        yield "Next attempt", f"{moment(delivery.due_at)} UTC"
    if delivery.settled_at:
        yield "Settled", f"{moment(delivery.settled_at)} UTC"


def _lines(attempt: Attempt) -> Iterator[str]:
    known = [
        f"{moment(attempt.at)} UTC",
        attempt.address or "no address",
        f"status {attempt.status}" if attempt.status else "no answer",
        f"{attempt.duration_ms} ms",
    ]
    yield escape(", ".join(known))
    if attempt.error:
        yield f"  {escape(attempt.error)}"
    for line in attempt.answer.decode("utf-8", "replace").splitlines():
        yield f"  > {escape(line.expandtabs())}"
