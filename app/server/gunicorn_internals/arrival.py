"""What has arrived of a request, told without a thread that waits for the rest.

This never decides what a request means: Gunicorn's parser does. It only tells whether the parser
would have to wait for the client. What the parser refuses at once counts as whole.
"""

import re
from enum import Enum

HELD_BYTES = 64 * 1024
"""The longest head, and the longest request that is collected without a thread."""

_FRAMING = re.compile(
    rb"\r\n(content-length|transfer-encoding|expect):[ \t]*([^\r\n]*)", re.IGNORECASE
)
_CHUNK_SIZE = re.compile(rb"([0-9a-fA-F]{1,16})(?:[ \t]*;[^\r\n]*)?\r\n")
_LINE_SLACK = 4  # Gunicorn counts the line without its end, and skips an empty line before it


class Missing(Enum):
    """What a request lacks."""

    HEAD = "head"
    BODY = "body"
    NOTHING = "nothing"


class Arrival:
    """The bytes that have arrived, from the first one of a request."""

    __slots__ = ("_body_at", "_chunked", "_end", "_longest_line", "data", "is_awaiting", "missing")

    def __init__(self, longest_line: int) -> None:
        self.data = bytearray()
        self.missing = Missing.HEAD
        self.is_awaiting = False  # the client waits for an answer before it sends the body
        self._longest_line = longest_line
        self._body_at = 0
        self._end: int | None = None
        self._chunked = False

    def add(self, data: bytes) -> None:
        """Take what has arrived."""
        searched = max(0, len(self.data) - 3)
        self.data += data
        if self.missing is Missing.HEAD:
            self._look_for_head(searched)
        elif self.missing is Missing.BODY:
            self._look_for_body()

    def _look_for_head(self, searched: int) -> None:
        end = self.data.find(b"\r\n\r\n", searched)
        if end >= 0:
            self._body_at = end + 4
            self._read_framing(end)
            self._look_for_body()
        elif self._is_refused():
            self.missing = Missing.NOTHING

    def _is_refused(self) -> bool:
        if self.data.count(b"\n") != self.data.count(b"\r\n"):
            return True
        longest = self._longest_line + _LINE_SLACK
        return len(self.data) > longest and self.data.find(b"\r\n", 2, longest) < 0

    def _read_framing(self, head_end: int) -> None:
        self.missing = Missing.BODY
        self._end = self._body_at
        for name, value in _FRAMING.findall(self.data, 0, head_end):
            kind = name.lower()
            if kind == b"content-length":
                self._end = self._body_at + _length(value)
            elif kind == b"transfer-encoding":
                self._chunked = True
            else:
                self.is_awaiting = True

    def _look_for_body(self) -> None:
        if self._chunked:
            self._skip_chunks()
        elif self._end is not None and len(self.data) >= self._end:
            self.missing = Missing.NOTHING

    def _skip_chunks(self) -> None:
        while size := _CHUNK_SIZE.match(self.data, self._body_at):
            length = int(size[1], 16)
            if length == 0:
                self._look_for_trailers(size.end())
                return
            if size.end() + length + 2 > len(self.data):
                return
            self._body_at = size.end() + length + 2

    def _look_for_trailers(self, at: int) -> None:
        if self.data.startswith(b"\r\n", at) or self.data.find(b"\r\n\r\n", at) >= 0:
            self.missing = Missing.NOTHING


def _length(value: bytes) -> int:
    try:
        return int(value) if value.strip(b" \t").isdigit() else 0  # refused, as a second length is
    except ValueError:  # more digits than Python converts: Gunicorn refuses them too
        return 0
