"""Runs queries.

Whoever pages or waits sees only numbers below which none can appear any more; see
app.storage.postgresql.numbers.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from sqlalchemy import Row

from app.storage.header_message_id import HEAD_BYTES, has_header_message_id
from app.storage.interface import Arrivals, Page, Query
from app.storage.message import StoredMessage
from app.storage.postgresql import queries
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.contents import Contents
from app.storage.postgresql.figures import REMOVALS
from app.storage.postgresql.rows import stored_message

_CHUNK_ROWS = 100
_FIRST_SCANNED = 2000
_USUAL_HEAD_BYTES = 16 * 1024
_MOST_ARRIVALS = 10_000
_BLANK_LINE = re.compile(rb"[^\r\n]\r*\n\r*\n")
_LOWEST_ID = "00000000-0000-0000-0000-000000000000"
_HIGHEST_ID = _LOWEST_ID.replace("0", "f")
_VERSION = f"SELECT coalesce(({queries.LATEST}), 0), ({REMOVALS})"


class Search:
    """Implements the queries of MessageStore; every method raises SQLAlchemyError."""

    def __init__(self, connections: Connections, contents: Contents) -> None:
        self._connections = connections
        self._contents = contents

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """See MessageStore.search."""
        return map(stored_message, islice(self._rows(query), query.limit))

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """See MessageStore.ids_with_prefix."""
        lowest, highest = (prefix + each[len(prefix) :] for each in (_LOWEST_ID, _HIGHEST_ID))
        if not (is_id(lowest) and is_id(highest)):
            return []
        rows = self._all(queries.IDS_BETWEEN, lowest, highest, limit)
        return [str(row.id) for row in rows]

    def page(self, query: Query, scan_limit: int) -> Page:
        """See MessageStore.page."""
        if not query.is_scan:
            found, has_more = self._first(query)
            return Page(found, found[-1].number if found else None, has_more)
        # If many messages match, a short scan usually finds enough of them.
        page = self._scan(query, min(_FIRST_SCANNED, scan_limit))
        if page.has_more and len(page.messages) != query.limit:
            return self._scan(query, scan_limit)
        return page

    def oldest_done(self, limit: int, after: str | None) -> list[StoredMessage]:
        """See MessageStore.oldest_done."""
        rows = self._all(queries.OLDEST_DONE, after or _LOWEST_ID, limit)
        return list(map(stored_message, rows))

    def count_undone(self, before: datetime | None) -> int:
        """See MessageStore.count_undone."""
        limit = None if before is None else queries.up_milliseconds(before)
        return int(self._one(queries.COUNT_UNDONE, limit, limit)[0])

    def count(self, query: Query) -> int:
        """See MessageStore.count."""
        if query.header_message_id is not None:
            return sum(1 for _ in self.search(query))
        statement = queries.counting(query)
        return int(self._one(statement.sql, *statement.parameters)[0])

    def arrivals(self, after: int | None) -> Arrivals:
        """See MessageStore.arrivals."""
        if after is None:
            return Arrivals(self._one(queries.LATEST)[0] or 0, frozenset())
        rows = self._all(queries.ARRIVALS, after, _MOST_ARRIVALS)
        return Arrivals(
            rows[-1].number if rows else after, frozenset(row.recipient_key for row in rows)
        )

    @contextmanager
    def watch(self) -> Iterator[Callable[[], int]]:
        """See MessageStore.watch.

        It asks each time. NOTIFY would make commits wait for each other, and doesn't pass through
        PgBouncer.
        """

        def version() -> int:
            latest, removals = self._one(_VERSION)
            return int(latest << 64 | removals)

        version()
        yield version

    def _scan(self, query: Query, scan_limit: int) -> Page:
        extent = queries.scan_extent(query, scan_limit)
        last, count = self._one(extent.sql, *extent.parameters)
        if last is None:
            return Page((), None, has_more=False)
        found, has_more = self._first(_up_to(query, last))
        if has_more:
            return Page(found, found[-1].number, has_more=True)
        return Page(found, last, count == scan_limit)

    def _first(self, query: Query) -> tuple[Sequence[StoredMessage], bool]:
        """Return up to the query's `limit` messages, and whether more of them match."""
        limit = query.limit or 0
        found = list(self.search(replace(query, limit=limit + 1)))
        return found[:limit], len(found) > limit

    def _rows(self, query: Query) -> Iterator[Row[Any]]:
        """Yield all matching rows, ignoring the limit; in chunks, to hold no connection."""
        chunk_rows = _CHUNK_ROWS
        if query.header_message_id is None and query.limit is not None:
            chunk_rows = max(1, min(query.limit, _CHUNK_ROWS))
        while True:
            statement = queries.selection(query, chunk_rows)
            chunk = self._all(statement.sql, *statement.parameters)
            yield from self._with_message_id(chunk, query.header_message_id)
            if len(chunk) < chunk_rows:
                return
            last = chunk[-1].number
            query = (
                replace(query, after=last) if query.oldest_first else replace(query, before=last)
            )

    def _with_message_id(self, rows: Sequence[Row[Any]], wanted: str | None) -> Sequence[Row[Any]]:
        if wanted is None or not rows:
            return rows
        beginnings = self._contents.beginnings(rows, _USUAL_HEAD_BYTES)
        return [row for row in rows if self._has_id(row, beginnings.get(row.number, b""), wanted)]

    def _has_id(self, row: Row[Any], beginning: bytes, wanted: str) -> bool:
        if len(beginning) < row.size and not _BLANK_LINE.search(beginning):
            beginning = self._contents.beginnings([row], HEAD_BYTES).get(row.number, b"")
        return has_header_message_id(beginning, wanted)

    def _all(self, sql: str, *parameters: object) -> Sequence[Row[Any]]:
        with self._connections.statements() as connection:
            return connection.exec_driver_sql(sql, parameters).all()

    def _one(self, sql: str, *parameters: object) -> tuple[Any, ...]:
        return tuple(self._all(sql, *parameters)[0])


def is_id(text: str) -> bool:
    """Return whether `text` is an id as it is written everywhere."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _up_to(query: Query, last: int) -> Query:
    """Return the query limited to messages up to and including the number `last`."""
    if query.oldest_first:
        return replace(query, before=last + 1)
    return replace(query, after=last - 1)
