"""The cursor and the URL of the next page of a list."""

from urllib.parse import urlencode

from flask import Response, request

from app.reading.cursor import make_cursor, parse_cursor

_CURSORS = {"after", "before"}


def cursor_number(cursor: str | None, identity: bytes) -> int | None:
    """Return the number in a cursor, None if there is none or it is empty; raises BadRequest."""
    return parse_cursor(cursor, identity) if cursor else None


def next_number(
    position: int | None, after: int | None, *, oldest_first: bool, has_more: bool
) -> int | None:
    """Return the number where the next page starts, or None after the last page.

    `position` is the last number of this page, None if it is empty; `after` is the number that this
    page started after. A list from older to newer entries always has a next page.
    """
    if oldest_first:
        return position if position is not None else after or 0
    return position if has_more else None


def next_cursor(number: int | None, identity: bytes) -> str | None:
    """Return the cursor of the next page, or None after the last page."""
    return None if number is None else make_cursor(identity, number)


def link(answer: Response, path: str, cursor: str | None, *, oldest_first: bool) -> Response:
    """Return `answer` with the URL of the next page of `path` in its Link header, if any."""
    if cursor is not None:
        others = [(name, value) for name, value in request.args.items() if name not in _CURSORS]
        query = urlencode([*others, ("after" if oldest_first else "before", cursor)])
        answer.headers["Link"] = f'<{path}?{query}>; rel="next"'
    return answer
