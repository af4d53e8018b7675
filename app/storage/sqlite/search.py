"""Runs queries on the index."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Engine, Row, func, select

from app.storage.header_message_id import HEAD_BYTES, has_header_message_id
from app.storage.interface import Arrivals, Page, Query
from app.storage.message import StoredMessage
from app.storage.segments.directory import Segments
from app.storage.segments.segment_file import Span
from app.storage.sqlite.queries import (
    count_undone,
    ids_with_prefix,
    oldest_done,
    scan_extent,
    selection,
)
from app.storage.sqlite.rows import stored_message
from app.storage.sqlite.tables import messages

_CHUNK_ROWS = 100
_FIRST_SCANNED = 2000
_USUAL_HEAD_BYTES = 16 * 1024
_MOST_ARRIVALS = 10_000
_BLANK_LINE = re.compile(rb"[^\r\n]\r*\n\r*\n")

_ARRIVALS = "SELECT number, recipient_key FROM message WHERE number > ? ORDER BY number LIMIT ?"


class Search:
    """Implements the queries of MessageStore; every method raises OSError, SQLAlchemyError."""

    def __init__(self, engine: Engine, segments: Segments) -> None:
        self._engine = engine
        self._segments = segments

    def search(self, query: Query) -> Iterator[StoredMessage]:
        """See MessageStore.search."""
        return map(stored_message, islice(self._rows(query), query.limit))

    def ids_with_prefix(self, prefix: str, limit: int) -> list[str]:
        """See MessageStore.ids_with_prefix."""
        statement = ids_with_prefix(prefix).limit(limit)
        with self._engine.connect() as connection:
            return list(connection.execute(statement).scalars())

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
        with self._engine.connect() as connection:
            return list(map(stored_message, connection.execute(oldest_done(limit, after))))

    def count_undone(self, before: datetime | None) -> int:
        """See MessageStore.count_undone."""
        with self._engine.connect() as connection:
            return connection.execute(count_undone(before)).scalar_one()

    def count(self, query: Query) -> int:
        """See MessageStore.count."""
        if query.header_message_id is not None:
            return sum(1 for _ in self.search(query))
        matching = selection(query).limit(query.limit).order_by(None).subquery()
        with self._engine.connect() as connection:
            return connection.execute(select(func.count()).select_from(matching)).scalar_one()

    def arrivals(self, after: int | None) -> Arrivals:
        """See MessageStore.arrivals."""
        with self._engine.connect() as connection:
            if after is None:
                last = connection.execute(select(func.max(messages.c.number))).scalar()
                return Arrivals(last or 0, frozenset())
            # Bypasses SQLAlchemy's result rows: under load, hundreds are read ten times a second.
            rows = connection.exec_driver_sql(_ARRIVALS, (after, _MOST_ARRIVALS)).fetchall()
        return Arrivals(rows[-1][0] if rows else after, frozenset(row[1] for row in rows))

    @contextmanager
    def watch(self) -> Iterator[Callable[[], int]]:
        """See MessageStore.watch."""
        with self._engine.connect() as connection:
            # The value changes when another connection commits; this connection never commits.
            yield lambda: connection.exec_driver_sql("PRAGMA data_version").scalar_one()

    def _scan(self, query: Query, scan_limit: int) -> Page:
        with self._engine.connect() as connection:
            last, count = connection.execute(scan_extent(query, scan_limit)).one()
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
        """Yield all matching rows, ignoring the limit; in chunks, since long reads block others."""
        chunk_rows = _CHUNK_ROWS
        if query.header_message_id is None and query.limit is not None:
            chunk_rows = max(1, min(query.limit, _CHUNK_ROWS))
        while True:
            with self._engine.connect() as connection:
                chunk = connection.execute(selection(query).limit(chunk_rows)).all()
            yield from self._with_message_id(chunk, query.header_message_id)
            if len(chunk) < chunk_rows:
                return
            last = chunk[-1].number
            query = (
                replace(query, after=last) if query.oldest_first else replace(query, before=last)
            )

    def _with_message_id(self, rows: Sequence[Row[Any]], wanted: str | None) -> Iterable[Row[Any]]:
        return rows if wanted is None else (row for row in rows if self._has_id(row, wanted))

    def _has_id(self, row: Row[Any], wanted: str) -> bool:
        beginning = self._beginning(row, _USUAL_HEAD_BYTES)
        if len(beginning) < row.size and not _BLANK_LINE.search(beginning):
            beginning = self._beginning(row, HEAD_BYTES)
        return has_header_message_id(beginning, wanted)

    def _beginning(self, row: Row[Any], most: int) -> bytes:
        span = Span(row.segment, row.segment_offset, min(row.size, most))
        try:
            return self._segments.read(span)
        except FileNotFoundError:  # the message was deleted meanwhile, or its segment is lost
            return b""


def _up_to(query: Query, last: int) -> Query:
    """Return the query limited to messages up to and including the number `last`."""
    if query.oldest_first:
        return replace(query, before=last + 1)
    return replace(query, after=last - 1)
