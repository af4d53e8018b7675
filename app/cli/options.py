"""Command-line options that several commands share."""

from pathlib import Path

import click

config_option = click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The configuration file, YAML or JSON.  [default: $MAIL_CONFIG, ./gomail.yaml "
    "or .yml, /etc/gomail/gomail.yaml or .yml]",
)
