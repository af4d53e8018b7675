"""The command `flask gomail`, which works from any directory and without a valid configuration."""

import click

from app.cli.check import check
from app.cli.messages import messages
from app.cli.postfix_config import postfix_config
from app.cli.server import server
from app.cli.store import store
from app.cli.validate import validate


@click.group()
def gomail() -> None:
    """Run GoMail, check its configuration, and read or delete stored messages."""


gomail.add_command(check)
gomail.add_command(messages)
gomail.add_command(postfix_config)
gomail.add_command(server)
gomail.add_command(store)
gomail.add_command(validate)
