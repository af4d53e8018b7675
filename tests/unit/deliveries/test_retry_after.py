"""Retry-After counts in each of its forms, and for a day at most."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.deliveries.retry_after import retry_after_seconds

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
DAY = 86400


def date(seconds: float) -> str:
    return format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("120", 120),
        (" 120 ", 120),
        ("31536000", DAY),
        ("9" * 20, DAY),
        (date(90), 90),
        (date(-3600), 0),
        (date(365 * DAY), DAY),
        ("Thursday, 26-Nov-26 12:01:00 GMT", 60),
        ("Thu Nov 26 12:01:00 2026", 60),
    ],
)
def test_seconds_and_dates(value: str, seconds: int) -> None:
    """A date in the past is now; a year is a day."""
    assert retry_after_seconds(value, NOW) == seconds


@pytest.mark.parametrize("value", [None, "", "soon", "-5", "1.5", "١٢", "9" * 65, "Thu, 99 Nov"])
def test_what_is_neither_is_nothing(value: str | None) -> None:
    """The schedule alone decides then."""
    assert retry_after_seconds(value, NOW) is None


@given(st.text())
def test_anything_is_read(value: str) -> None:
    """Nothing raises, and nothing is beyond a day."""
    seconds = retry_after_seconds(value, NOW)
    assert seconds is None or 0 <= seconds <= DAY
