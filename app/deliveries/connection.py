"""A connection to an endpoint over a socket whose address was checked."""

import io
import socket
import ssl
from functools import partial
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse, parse_headers
from typing import TYPE_CHECKING, Any, cast

from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAX_ANSWER_BYTES = 64 * 1024
"""The largest answer, including its header section."""


class Connection(HTTPConnection):
    """Speaks HTTP over a connected socket, and never connects by itself, to an unchecked address.

    `has_answered` is true if any byte has arrived since the last request, `has_ended` if the
    endpoint has closed the connection, `has_surplus` if bytes have arrived after the answer.
    """

    auto_open = 0

    def __init__(self, connected: socket.socket, address: str, seconds: float) -> None:
        """Take over `connected`, to `address`; no read or write takes longer than `seconds`."""
        super().__init__(address, timeout=seconds)
        self.sock = connected
        self.address = address
        self.has_answered = self.has_ended = self.has_surplus = False
        self.response_class = cast(type[HTTPResponse], partial(_BoundedResponse, self))

    @property
    def is_reusable(self) -> bool:
        """Whether another request can be sent: nothing is in flight, and no bytes are left over."""
        if self.has_surplus or not self.is_connected:
            return False
        return not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending())


class AnswerTooLarge(HTTPException):
    """Raised after MAX_ANSWER_BYTES."""


class _BoundedResponse(HTTPResponse):
    def __init__(self, connection: Connection, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fp = _Reader(_Bounded(self.fp.detach(), connection), connection)

    def _read_status(self) -> tuple[str, int, str]:
        """Skip interim answers (RFC 9110 section 15.2): http.client skips only 100."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if status // 100 != 1 or status == HTTPStatus.SWITCHING_PROTOCOLS:
                return version, status, reason
            parse_headers(self.fp)


class _Reader(io.BufferedReader):
    """Notices bytes after an answer: some endpoints answer twice."""

    def __init__(self, source: "_Bounded", connection: Connection) -> None:
        super().__init__(source)
        self._bounded = source
        self._connection = connection

    def close(self) -> None:
        if not self.closed:
            self._bounded.is_over = True
            self._connection.has_surplus |= bool(self.peek(1))
        super().close()


class _Bounded(io.RawIOBase):
    """Reads the first MAX_ANSWER_BYTES of `source`, and nothing after `is_over` is set."""

    def __init__(self, source: io.RawIOBase, connection: Connection) -> None:
        self.is_over = False
        self._source = source
        self._connection = connection
        self._left = MAX_ANSWER_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        if self.is_over:
            return 0
        if self._left == 0:
            raise AnswerTooLarge(f"It is larger than {MAX_ANSWER_BYTES} bytes")
        count = self._source.readinto(memoryview(buffer)[: self._left])
        self._left -= count or 0
        self._connection.has_answered |= bool(count)
        self._connection.has_ended |= count == 0
        return count

    def close(self) -> None:
        self._source.close()
        super().close()
