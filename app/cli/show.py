"""`flask gomail messages show`: shows one message to a person or a script."""

import json
import sys
from pathlib import Path

import click

from app.cli.message_id import complete_id
from app.cli.opened_store import opened_store
from app.cli.options import config_option
from app.cli.view import view
from app.mime.message import parse
from app.reading.describe import describe


@click.command()
@config_option
@click.option("--raw", is_flag=True, help="Write exactly the bytes that were received.")
@click.option("--json", "as_json", is_flag=True, help="Print the message as the API returns it.")
@click.argument("message_id", metavar="ID")
def show(config: Path | None, message_id: str, raw: bool, as_json: bool) -> None:
    """Show one message: its envelope, the main header fields, the text and the attachments.

    ID may be shortened as long as only one id begins that way. Invisible characters and control
    characters are escaped.
    """
    if raw and as_json:
        raise click.UsageError("--raw and --json can't be used together")
    with opened_store(config) as store:
        stored = store.get(complete_id(store, message_id))
        content = store.read(stored.message_id)
    if raw:
        sys.stdout.buffer.write(content)
    elif as_json:
        click.echo(json.dumps(describe(stored, parse(content)), indent=2))
    else:
        click.echo("\n".join(view(stored, parse(content))))
