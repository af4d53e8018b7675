"""Which bytes a Range header requests (RFC 9110 section 14.1.2)."""

import pytest

from app.errors import RangeNotSatisfiable
from app.web.byte_range import requested_range


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=0-", range(10)),
        ("bytes=9-", range(9, 10)),
        ("bytes=2-4", range(2, 5)),
        ("bytes=2-9" + "9" * 30, range(2, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-99", range(10)),
        ("BYTES= 2-4 ", range(2, 5)),
    ],
)
def test_one_range_is_parsed(header: str, asked: range) -> None:
    """At the beginning, at the end, in between, and beyond the end."""
    assert requested_range(header, 10) == asked


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "bytes", "bytes=", "bytes=-", "bytes=4-2", "bytes=a-b", "lines=0-1"),
        *("bytes=0-1,3-4", "bytes=0-1-2", "bytes=--1", "bytes=1" + "0" * 5000 + "-", "bytes=٣-"),
    ],
)
def test_an_invalid_range_is_ignored(header: str | None) -> None:
    """Like several ranges, which a server may ignore."""
    assert requested_range(header, 10) is None


@pytest.mark.parametrize(
    ("header", "size"),
    [
        *(("bytes=10-", 10), ("bytes=10-12", 10), ("bytes=-0", 10), ("bytes=-1", 0)),
        ("bytes=1" + "0" * 30 + "-", 10),
    ],
)
def test_a_range_beyond_the_end_is_refused(header: str, size: int) -> None:
    """The error has the size, which Content-Range needs."""
    with pytest.raises(RangeNotSatisfiable) as raised:
        requested_range(header, size)
    assert raised.value.size == size
