"""An application that gets messages pushed, as fast or slowly as a test wants."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[["Push"], int]
"""Returns the status of the answer, after however long."""


@dataclass(frozen=True)
class Push:
    """A request that was read to its end, `at` by the monotonic clock."""

    webhook_id: str
    at: float
    body: bytes
    headers: Mapping[str, str]


class Webhook(ThreadingHTTPServer):
    """Keeps what it gets; answers 200 at once unless `answer` is replaced."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.pushes: list[Push] = []
        self.accepted: list[Push] = []
        self.answered_at: dict[str, float] = {}
        self.answer: Answer = lambda _: 200

    @property
    def url(self) -> str:
        """Where to push to."""
        return f"http://127.0.0.1:{self.server_address[1]}/mail"

    def ids(self) -> list[str]:
        """Return the ids of all pushes so far, repeats too."""
        return [push.webhook_id for push in self.pushes]

    def forget(self) -> None:
        """Forget what it got so far."""
        self.pushes.clear()
        self.accepted.clear()
        self.answered_at.clear()

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: tests kill clients on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Webhook

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        if len(body) < length:  # the client was killed
            self.close_connection = True
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        push = Push(headers["webhook-id"], time.monotonic(), body, headers)
        self.server.pushes.append(push)
        status = self.server.answer(push)
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()
        self.server.answered_at.setdefault(push.webhook_id, time.monotonic())
        if status == 200:
            self.server.accepted.append(push)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002 -- the library's name
        """Say nothing."""


@contextmanager
def webhook(port: int = 0) -> Iterator[Webhook]:
    """Yield a running one, at any port unless one is given."""
    with Webhook(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
