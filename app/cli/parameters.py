"""Types of command-line parameters that say what is wrong with a value."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from app.printable import UNPRINTABLE, escape
from app.storage.delivery import FASTEST_RATE

_AGE = re.compile(r"([1-9][0-9]{0,4})([dh])")
_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1)}
_MOST_SHOWN = 60


class Moment(click.ParamType[datetime]):
    """A date or time in ISO 8601, in UTC unless it has a time zone; or an age such as `7d`."""

    name = "time"

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Count ages back from the time that `clock` returns."""
        self._clock = clock

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return an aware datetime."""
        age = _age(value)
        if age is not None:
            return self._clock() - age
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(
                f"{quoted(value)} is not a time such as 2026-01-31, 2026-01-31T12:00Z or 7d (ago)",
                param,
                ctx,
            )
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class Age(click.ParamType[timedelta]):
    """A whole number of days or hours, at least 1: `30d`, `12h`."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return the age, at most 99,999 days."""
        age = _age(value)
        if age is None:
            self.fail(
                f"{quoted(value)} is not an age such as 30d (days) or 12h (hours)", param, ctx
            )
        return age


class Text(click.ParamType[str]):
    """Text in UTF-8; of other bytes a shell passes on something that no text can be."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text as it was given."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"{quoted(value)} is not UTF-8", param, ctx)
        return str(value)


class Address(click.ParamType[str]):
    """A mail address; an empty one, which a script may pass by mistake, is refused."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the address as it was given."""
        local_part, _, domain = value.rpartition("@")
        if not local_part or not domain or UNPRINTABLE.search(value):
            self.fail(f"{quoted(value)} is not an address such as ann@example.com", param, ctx)
        return str(value)


class Rate(click.ParamType[float]):
    """A number of deliveries per second: above 0, at most FASTEST_RATE."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the number."""
        try:
            rate = float(value)
        except ValueError:
            rate = 0
        if not 0 < rate <= FASTEST_RATE:  # which NaN isn't either
            self.fail(
                f"{quoted(str(value))} is not a number above 0, at most {FASTEST_RATE}", param, ctx
            )
        return rate


def _age(value: str) -> timedelta | None:
    found = _AGE.fullmatch(value)
    return None if found is None else int(found[1]) * _UNITS[found[2]]


def quoted(value: str) -> str:
    """Return the beginning of `value` in quotation marks, safe for a terminal."""
    dots = "…" if len(value) > _MOST_SHOWN else ""
    return f"'{escape(value[:_MOST_SHOWN])}{dots}'"
