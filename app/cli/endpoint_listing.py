"""`flask gomail endpoints list`: lists the endpoints with their states and deliveries."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from app.cli.opened_store import opened, valid_settings
from app.cli.options import config_option
from app.cli.table import moment, table
from app.deliveries.endpoint_status import EndpointStatus, endpoint_statuses
from app.settings.webhook_url import shown_url
from app.storage.delivery import State


@click.command("list")
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON array.")
def list_endpoints(config: Path | None, as_json: bool) -> None:
    """List the endpoints. A closed one gets its messages; an open one keeps failing.

    Endpoints that are no longer configured are listed while they have deliveries.
    """
    settings = valid_settings(config)
    with opened(settings.storage) as store:
        statuses = endpoint_statuses(settings.deliveries.endpoints, store.deliveries)
    click.echo(_as_json(statuses) if as_json else _table(statuses))


def _as_json(statuses: Sequence[EndpointStatus]) -> str:
    from app.deliveries.describe import describe_endpoint  # noqa: PLC0415 -- marshmallow is slow

    return json.dumps([describe_endpoint(each) for each in statuses], indent=2)


def _table(statuses: Sequence[EndpointStatus]) -> str:
    heads = ("NAME", "STATE", *map(str.upper, State), "OLDEST PENDING (UTC)", "URL")
    return table([heads, *map(_row, statuses)])


def _row(status: EndpointStatus) -> tuple[str, ...]:
    reason = f" ({status.reason})" if status.reason else ""
    return (
        status.name,
        f"{status.state}{reason}",
        *(str(status.counts[state]) for state in State),
        moment(status.oldest_pending_at),
        shown_url(status.endpoint.url) if status.endpoint else "",
    )
