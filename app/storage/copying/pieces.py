"""Cuts what may be endless into pieces that fit in memory."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def pieces(items: Iterable[Item], most: int) -> Iterator[list[Item]]:
    """Yield the items in lists of up to `most`."""
    pending = iter(items)
    while piece := list(islice(pending, most)):
        yield piece
