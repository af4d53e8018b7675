"""`flask gomail endpoints`: lists, tests, pauses and resumes endpoints."""

import click

from app.cli.lazy_group import LazyGroup


@click.group(
    cls=LazyGroup,
    places={
        "list": "app.cli.endpoint_listing:list_endpoints",
        "pause": "app.cli.endpoint_pause:pause",
        "resume": "app.cli.endpoint_pause:resume",
        "test": "app.cli.endpoint_sample:send_sample",
    },
)
def endpoints() -> None:
    """List, test, pause and resume endpoints."""
