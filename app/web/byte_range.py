"""Parses the Range header (RFC 9110 section 14)."""

import re

from app.errors import RangeNotSatisfiable

_ONE_RANGE = re.compile(r"bytes=[ \t]*([0-9]{0,999})-([0-9]{0,999})[ \t]*", re.IGNORECASE)


def requested_range(header: str | None, size: int) -> range | None:
    """Return the offsets that a Range header requests of `size` bytes; None for all bytes.

    A header that is invalid or has several ranges is ignored, as RFC 9110 allows. Raises
    RangeNotSatisfiable if the range has no bytes.
    """
    found = _ONE_RANGE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(size - int(found[2]), 0), size
    else:
        start, end = int(found[1]), int(found[2] or size) + 1
        if end <= start and found[2]:  # an invalid range
            return None
    if start >= size:
        raise RangeNotSatisfiable(size)
    return range(start, min(end, size))
