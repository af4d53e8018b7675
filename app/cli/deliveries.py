"""`flask gomail deliveries`: lists, shows, retries, discards and replays deliveries."""

import click

from app.cli.lazy_group import LazyGroup


@click.group(
    cls=LazyGroup,
    places={
        "discard": "app.cli.delivery_decisions:discard",
        "list": "app.cli.delivery_listing:list_deliveries",
        "replay": "app.cli.replay:replay",
        "retry": "app.cli.delivery_decisions:retry",
        "show": "app.cli.delivery_view:show",
    },
)
def deliveries() -> None:
    """List, show, retry and discard deliveries, and replay messages."""
