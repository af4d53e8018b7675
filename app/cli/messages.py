"""`flask gomail messages`: lists, shows, exports, verifies and deletes stored messages."""

import click

from app.cli.lazy_group import LazyGroup


@click.group(
    cls=LazyGroup,
    places={
        "delete": "app.cli.deletion:delete",
        "erase": "app.cli.deletion:erase",
        "export": "app.cli.export:export",
        "list": "app.cli.listing:list_messages",
        "purge": "app.cli.deletion:purge",
        "show": "app.cli.show:show",
        "verify": "app.cli.verify:verify",
    },
)
def messages() -> None:
    """List, show, export, verify and delete stored messages."""
