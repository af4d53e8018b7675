"""`flask gomail validate`: reports whether a configuration is valid, and its effective values."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import click

from app.cli.options import config_option
from app.settings import Inspection, inspect
from app.settings.schema import schema_text


@click.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
@click.option("--show-schema", is_flag=True, help="Print the JSON Schema and do nothing else.")
def validate(config: Path | None, as_json: bool, strict: bool, show_schema: bool) -> None:
    """Check the configuration.

    The exit code is 0 when it is valid, 1 when it is not, 2 for a usage error.
    """
    if show_schema:
        click.echo(schema_text(), nl=False)
        return
    inspection = _strictly(inspect(config=config)) if strict else inspect(config=config)
    if as_json:
        click.echo(_as_json(inspection))
    else:
        print_faults(inspection)
        click.echo(_verdict(inspection))
    sys.exit(1 if inspection.errors else 0)


def print_faults(inspection: Inspection) -> None:
    """Print a line for each error and each warning, on standard error."""
    for error in inspection.errors:
        click.echo(str(error), err=True)
    for warning in inspection.warnings:
        click.echo(f"warning: {warning}", err=True)


def _strictly(inspection: Inspection) -> Inspection:
    return replace(inspection, errors=inspection.errors + inspection.warnings, warnings=())


def _as_json(inspection: Inspection) -> str:
    result = {
        "valid": not inspection.errors,
        "errors": [asdict(fault) for fault in inspection.errors],
        "warnings": [asdict(fault) for fault in inspection.warnings],
        "config": inspection.values,
    }
    return json.dumps(result, indent=2)


def _verdict(inspection: Inspection) -> str:
    verdict = "invalid" if inspection.errors else "valid"
    errors = _count(inspection.errors, "error")
    return f"{inspection.source}: {verdict}, {errors}, {_count(inspection.warnings, 'warning')}"


def _count(faults: Sequence[object], noun: str) -> str:
    return f"{len(faults)} {noun}" if len(faults) == 1 else f"{len(faults)} {noun}s"
