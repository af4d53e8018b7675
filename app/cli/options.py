"""Command-line options that several commands share."""

import os
from pathlib import Path

import click

from app.settings import Inspection, inspect

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration file, YAML or JSON.  [default: $MAIL_CONFIG, ./gomail.yaml "
    "or .yml, /etc/gomail/gomail.yaml or .yml]",
)


def inspect_and_name_file(config: Path | None) -> Inspection:
    """Return the inspected configuration; name its file if it was found in the working directory.

    The server may use the file in /etc, but one in the working directory comes first.
    """
    inspection = inspect(config=config)
    is_named = config is not None or os.environ.get("MAIL_CONFIG", "").strip()
    if inspection.file and not is_named and inspection.file.parent == Path.cwd():
        click.echo(f"Configuration: {inspection.file}", err=True)
    return inspection
