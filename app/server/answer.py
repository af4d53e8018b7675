"""Gunicorn's response, whose head goes out in one piece with the beginning of its body.

Gunicorn sends the two by themselves, and each wakes the client and lets other threads take over.
"""

from gunicorn import util
from gunicorn.http import wsgi


class Answer(wsgi.Response):
    """See the module."""

    _head = b""

    def send_headers(self) -> None:
        """Keep the head back until there is a body, or an end without one."""
        if not self.headers_sent:
            named = [f"{name}: {value}\r\n" for name, value in self.headers]
            self._head = "".join([*self.default_headers(), *named, "\r\n"]).encode("latin-1")
            self.headers_sent = True

    def can_sendfile(self) -> bool:
        """Return False: sendfile would go past the head."""
        return False

    def close(self) -> None:
        """Send what is left to be sent."""
        self.send_headers()
        self._send_with_head(b"")
        super().close()

    def _emit_body(self, data: bytes) -> None:
        if self.chunked:
            self._send_with_head(b"")
            super()._emit_body(data)  # type: ignore[misc]
        else:
            self._send_with_head(data)

    def _send_with_head(self, data: bytes) -> None:
        data, self._head = self._head + data, b""
        if data:
            util.write(self.sock, data)


def send_answers_whole() -> None:
    """Let Gunicorn answer with this."""
    wsgi.Response = Answer  # type: ignore[misc]
