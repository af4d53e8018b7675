"""Zeroes the gaps in the pages of gomail.db, where SQLite leaves copies of what it has moved.

A page of a B-tree begins with pointers to its cells, and they lie at its end. When some move to a
neighbour, their bytes may stay in the gap between the two. SQLite's secure_delete zeroes cells that
are deleted, freed pages and the ends of overflow pages, but no gaps. Nothing ever reads a gap, so
one may be zeroed while others read the page, and it doesn't matter if only a part of it was.

The layout of a page is described in https://www.sqlite.org/fileformat.html, sections 1.3 to 1.8.
"""

import errno
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.storage.sqlite.generation import generation_in
from app.storage.sqlite.shared_descriptor import SharedDescriptor

_FILE_HEADER_BYTES = 100
_PAGE_HEADER_BYTES = {2: 12, 5: 12, 10: 8, 13: 8}  # by the first byte of a B-tree's page
_LOCK_BYTE = 2**30  # its page is never used
_MANY_PAGES = 2 << 24
_READ_BYTES = 2**20  # a multiple of each page size
_ZEROS = bytes(2**16)


class PageGaps:
    """Those of one database."""

    def __init__(self, file: SharedDescriptor) -> None:
        self._file = file

    def pages_to_clear(self) -> list[int]:
        """Return the numbers of the pages that have something in their gap; raises OSError.

        Others may write at the same time: what was in a gap before and is still there is found,
        though a page be read half old and half new, since each of its states has it in the gap.
        """
        return list(self._pages_to_clear())

    def clear(self, numbers: Iterable[int], generation: int) -> None:
        """Zero the gaps of pages. Raises OSError, also if the file doesn't have `generation`.

        Meanwhile the write-ahead log must be empty, and nobody may write to it.
        """
        descriptor = self._file.descriptor()
        layout = _layout(descriptor)
        if layout.generation != generation:
            raise OSError(errno.ESTALE, "gomail.db has been replaced")
        for number in numbers:
            offset = (number - 1) * layout.page_bytes
            page = os.pread(descriptor, layout.page_bytes, offset)
            start, end = layout.gap(number, page, 0)
            if os.pwrite(descriptor, _ZEROS[: end - start], offset + start) < end - start:
                raise OSError(errno.EIO, "gomail.db can't be written to")

    def sync(self) -> None:
        """Make it durable; raises OSError."""
        os.fdatasync(self._file.descriptor())

    def _pages_to_clear(self) -> Iterator[int]:
        descriptor = self._file.descriptor()
        layout = _layout(descriptor)
        number = 1
        for offset in range(0, os.fstat(descriptor).st_size, _READ_BYTES):
            pages = os.pread(descriptor, _READ_BYTES, offset)
            for at in range(0, len(pages), layout.page_bytes):
                start, end = layout.gap(number, pages, at)
                if not pages.startswith(_ZEROS[: end - start], at + start):
                    yield number
                number += 1


@dataclass(frozen=True)
class _Layout:
    generation: int
    page_bytes: int
    pages_of_a_map: int
    """How far pointer maps are from each other, 0 if there are none."""

    def gap(self, number: int, pages: bytes, at: int) -> tuple[int, int]:
        """Return from where to where the gap of the page is that begins at `at`, or (0, 0).

        Counted from the beginning of the page.
        """
        header_bytes = _PAGE_HEADER_BYTES.get(pages[at], 0) if at < len(pages) else 0
        # The first page has nothing but the file's header and the schema.
        if not header_bytes or number == 1 or self._is_pointer_map(number):
            return 0, 0
        cells, content = struct.unpack_from(">HH", pages, at + 3)
        start, end = header_bytes + 2 * cells, content or 2**16
        return (start, end) if start <= end <= self.page_bytes else (0, 0)

    def _is_pointer_map(self, number: int) -> bool:
        if not self.pages_of_a_map:
            return False
        if (number - 2) * self.page_bytes == _LOCK_BYTE:  # the map may have evaded that page
            return (number - 2) % self.pages_of_a_map < 2
        return (number - 2) % self.pages_of_a_map == 0


def _layout(descriptor: int) -> _Layout:
    header = os.pread(descriptor, _FILE_HEADER_BYTES, 0)
    size, _, _, reserved = struct.unpack_from(">HBBB", header, 16)
    page_bytes = 2**16 if size == 1 else size
    # The other kinds of pages begin with the number of a page or with zeros.
    if os.fstat(descriptor).st_size >= _MANY_PAGES * page_bytes:
        raise OSError(errno.EFBIG, "gomail.db is so large that its pages can't be told apart")
    [largest_root] = struct.unpack_from(">I", header, 52)  # 0 without pointer maps
    between = (page_bytes - reserved) // 5 + 1
    return _Layout(generation_in(header), page_bytes, between if largest_root else 0)
