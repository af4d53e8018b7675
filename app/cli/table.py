"""Formats tables and times for a terminal."""

from collections.abc import Sequence
from datetime import datetime


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return `rows` as aligned columns; the first row is the heading."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def moment(at: datetime | None) -> str:
    """Return a time to the second, an empty text for None."""
    return "" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"


def counted(count: int, singular: str, plural: str) -> str:
    """Return a number with its noun."""
    return f"{count} {singular if count == 1 else plural}"
