"""Types of command-line parameters that say what is wrong with a value."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from app.printable import UNPRINTABLE, escape

_AGE = re.compile(r"([1-9][0-9]{0,4})([dh])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}
_MOST_SHOWN = 60


class Moment(click.ParamType[datetime]):
    """A date or a time in ISO 8601, in UTC unless it has a time zone."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return an aware datetime."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{value!r} is not a time such as 2026-01-31 or 2026-01-31T12:00Z", param, ctx
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Age(click.ParamType[timedelta]):
    """A whole number of days or hours, at least 1: `30d`, `12h`."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the age, at most 99,999 days."""
        found = _AGE.fullmatch(value)
        if found is None:
            self.fail(
                f"{quoted(value)} is not an age such as 30d (days) or 12h (hours)", param, ctx
            )
        return int(found[1]) * _UNITS[found[2]]


class Address(click.ParamType[str]):
    """A mail address; an empty one, which a script may pass by mistake, is refused."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address as it was given."""
        local_part, _, domain = value.rpartition("@")
        if not local_part or not domain or UNPRINTABLE.search(value):
            self.fail(f"{quoted(value)} is not an address such as ann@example.com", param, ctx)
        return str(value)


def quoted(value: str) -> str:
    """Return the beginning of `value` in quotation marks, safe for a terminal."""
    dots = "…" if len(value) > _MOST_SHOWN else ""
    return f"'{escape(value[:_MOST_SHOWN])}{dots}'"
