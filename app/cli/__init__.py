"""The command `flask gomail`, which works from any directory and without a valid configuration."""

import click

from app.cli.lazy_group import LazyGroup


@click.group(
    cls=LazyGroup,
    places={
        "check": "app.cli.check:check",
        "deliver": "app.cli.deliver:deliver",
        "deliveries": "app.cli.deliveries:deliveries",
        "endpoints": "app.cli.endpoints:endpoints",
        "messages": "app.cli.messages:messages",
        "objects": "app.cli.objects:objects",
        "postfix-config": "app.cli.postfix_config:postfix_config",
        "server": "app.cli.server:server",
        "store": "app.cli.store:store",
        "validate": "app.cli.validate:validate",
    },
)
def gomail() -> None:
    """Run GoMail, check its configuration, and read, deliver or delete stored messages."""
