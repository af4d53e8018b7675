"""`flask gomail deliveries replay`: sends stored messages to an endpoint again."""

import sys
from datetime import datetime
from pathlib import Path

import click

from app.cli.endpoint_notes import note_what_waits
from app.cli.opened_store import opened, valid_settings
from app.cli.options import config_option
from app.cli.parameters import Address, Moment, Rate, quoted
from app.cli.table import counted
from app.settings import Settings
from app.storage.delivery import Replay
from app.storage.interface import Query


@click.command()
@config_option
@click.option("--endpoint", metavar="NAME", required=True, help="Endpoint to send them to.")
@click.option("--since", type=Moment(), required=True, help="Received at this time (UTC) or later.")
@click.option("--until", type=Moment(), help="Received before this time (UTC).  [default: now]")
@click.option("--recipient", type=Address(), help="Only messages to this envelope recipient.")
@click.option(
    "--rate",
    type=Rate(),
    help="Largest number per second, for each delivery process.",
)
@click.option("--dry-run", is_flag=True, help="Only print how many would be sent.")
def replay(  # noqa: PLR0913, PLR0917 -- its options
    config: Path | None,
    endpoint: str,
    since: datetime,
    until: datetime | None,
    recipient: str | None,
    rate: float | None,
    dry_run: bool,
) -> None:
    """Send stored messages to an endpoint, again or for the first time.

    The server, or `flask gomail deliver`, sends them while there is no new mail to send, and
    continues after a restart. A time is 2026-01-31, 2026-01-31T12:00Z, or an age such as 7d or 12h.
    """
    if until is not None and until <= since:
        raise click.UsageError("--until must be later than --since")
    settings = valid_settings(config)
    _check_endpoint(settings, endpoint)
    with opened(settings.storage, to_write=not dry_run) as store:
        count = counted(store.count(Query(recipient, since, until)), "message", "messages")
        if dry_run:
            click.echo(f"{count} would be sent to {endpoint}")
            return
        store.deliveries.add_replay(Replay(endpoint, since, until, recipient, rate))
        click.echo(f"Replaying {count} to {endpoint}")
        note_what_waits(settings.deliveries.endpoints, store.deliveries, [endpoint])


def _check_endpoint(settings: Settings, name: str) -> None:
    names = [endpoint.name for endpoint in settings.deliveries.endpoints]
    if name not in names:
        known = ", ".join(names) or "none"
        sys.exit(f"No endpoint with the name {quoted(name)} is configured (configured: {known}).")
