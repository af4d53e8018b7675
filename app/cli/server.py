"""`flask gomail server`: checks the configuration, then replaces itself by Gunicorn."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from app.cli.options import config_option
from app.cli.validate import print_faults
from app.settings import SHARE, inspect
from app.settings.schema import flag, has_flag, is_secret, properties, variable

Command = Callable[..., None]


def _setting_options(command: Command) -> Command:
    for key in reversed(list(filter(has_flag, properties()))):
        command = click.option(flag(key), key, metavar=_metavar(key), help=_help(key))(command)
    return command


def _metavar(key: str) -> str:
    kind = properties()[key]["type"]
    names = {"integer": "NUMBER", "boolean": "true|false", "array": "LIST", "string": "TEXT"}
    return names.get(kind, "TEXT") if isinstance(kind, str) else "TEXT"


def _help(key: str) -> str:
    known = properties()[key]
    default = known.get("default", known.get("x-default"))
    shown = ",".join(default) if isinstance(default, list) else default
    if isinstance(default, bool):
        shown = str(default).lower()
    elif "default" in known and "x-unit" in known:
        shown = f"{default} {known['x-unit']}"
    return str(known["description"]) + ("" if shown in (None, "") else f"  [default: {shown}]")


@click.command()
@config_option
@_setting_options
def server(config: Path | None, **flags: str | None) -> None:
    """Start the server. Separate the items of a LIST with commas: a,b,c."""
    inspection = inspect(flags, config=config)
    print_faults(inspection)
    if inspection.errors:
        sys.exit(1)
    os.environ.update(_environment(flags, inspection.file))
    # The script, not `-m gunicorn`: SIGUSR2 runs the same command again, and would then put
    # Gunicorn's own modules before Python's.
    gunicorn = str(Path(sys.executable).with_name("gunicorn"))
    os.execv(gunicorn, [gunicorn, "--config", str(SHARE / "gunicorn.conf.py"), "wsgi:app"])  # noqa: S606 - no shell is wanted


def _environment(flags: Mapping[str, Any], file: Path | None) -> dict[str, str]:
    """Return variables equivalent to the flags: other users can see a process's arguments."""
    given = {key: value for key, value in flags.items() if value}
    variables = {variable(key): value for key, value in given.items()}
    # An empty variable counts as unset, so that a flag overrides MAIL_<KEY>_FILE.
    variables |= {f"{variable(key)}_FILE": "" for key in given if is_secret(key)}
    return variables | ({"MAIL_CONFIG": str(file)} if file else {})
