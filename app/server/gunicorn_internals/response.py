"""Gunicorn's response, whose head goes out in one piece with a body of known length.

Gunicorn sends the two separately: each wakes the client, and lets other threads take over.
"""

from gunicorn import util
from gunicorn.http import wsgi


class Answer(wsgi.Response):
    """Keeps its head back until there is a body. Nothing counts as sent before it is."""

    _head = b""

    def send_headers(self) -> None:
        """Make the head ready."""
        if not self.headers_sent and not self._head:
            named = [f"{name}: {value}\r\n" for name, value in self.headers]
            self._head = "".join([*self.default_headers(), *named, "\r\n"]).encode("latin-1")

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
            self.headers_sent = True
            util.write(self.sock, data)


def send_answers_whole() -> None:
    """Let Gunicorn answer with this."""
    wsgi.Response = Answer  # type: ignore[misc]
