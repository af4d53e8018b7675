"""Parses Retry-After (RFC 9110 section 10.2.3)."""

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

LONGEST_SECONDS = 24 * 60 * 60.0

_SECONDS = re.compile(r"[0-9]{1,20}")
_LONGEST_VALUE = 64


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Return the seconds from `now`, 0 to LONGEST_SECONDS; None if absent or invalid."""
    text = (value or "")[:_LONGEST_VALUE].strip()
    seconds = float(text) if _SECONDS.fullmatch(text) else _until(text, now)
    return None if seconds is None else min(max(seconds, 0.0), LONGEST_SECONDS)


def _until(text: str, now: datetime) -> float | None:
    try:
        date = parsedate_to_datetime(text)
        if date.tzinfo is None:
            date = date.replace(tzinfo=UTC)
        return (date - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):  # depends on the version of Python
        return None
