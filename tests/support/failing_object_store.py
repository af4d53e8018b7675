"""A proxy in front of an object store that fails as real ones and networks do."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from http.client import HTTPConnection, HTTPResponse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, Self

# The headers that are about one connection; http.client writes its own.
_OF_ONE_CONNECTION = {"connection", "keep-alive", "transfer-encoding", "content-length"}

Refusal = tuple[int, str]
SLOW_DOWN: Refusal = (503, "SlowDown")
BAD_DIGEST: Refusal = (400, "BadDigest")


class Request(NamedTuple):
    """One request; the path is with its query."""

    method: str
    path: str
    headers: Message


class FailingObjectStore:
    """Passes requests on to `port` until it is told otherwise; a context manager.

    `requests` has all that came. What is told holds for requests for which `concerns` is true.
    """

    def __init__(self, port: int) -> None:
        self.upstream = port
        self.requests: list[Request] = []
        self.concerns: Callable[[Request], bool] = lambda _: True
        self.refusal: Refusal | None = None
        self.refusals_left = 0
        self.cuts = False
        self.shortens = False
        self.passes_on_late = False
        self.released = threading.Event()
        self.released.set()
        self.is_closed = False
        self._port = 0
        self._listen()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        self._stop()

    @property
    def url(self) -> str:
        """What object_store_endpoint is set to."""
        return f"http://127.0.0.1:{self._port}"

    @contextmanager
    def closed(self) -> Iterator[None]:
        """Refuse connections meanwhile, and answer nothing on those that are open."""
        self.is_closed = True
        self._stop()
        try:
            yield
        finally:
            self._listen()
            self._thread.start()
            self.is_closed = False

    @contextmanager
    def refusing(self, refusal: Refusal) -> Iterator[None]:
        """Answer with this status and code meanwhile."""
        self.refuse(refusal)
        try:
            yield
        finally:
            self.refusals_left = 0

    def refuse(self, refusal: Refusal, times: int = 1_000_000) -> None:
        """Answer the next requests with this status and code of S3's, and don't pass them on."""
        self.refusal, self.refusals_left = refusal, times

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Answer nothing meanwhile, and nothing afterwards unless it `passes_on_late`."""
        self.released.clear()
        try:
            yield
        finally:
            self.released.set()

    def methods(self) -> list[str]:
        """Return the methods of all requests that came."""
        return [request.method for request in self.requests]

    def _listen(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), self._handler())
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    def _stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        proxy = self

        class Handler(_Handler):
            store = proxy

        return Handler


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: FailingObjectStore

    def _handle(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        request = Request(self.command, self.path, self.headers)
        self.store.requests.append(request)
        if not self.store.concerns(request):
            self._pass_on(content)
        elif self.store.is_closed:
            self.close_connection = True
        elif not self.store.released.is_set():
            self.store.released.wait()
            self.close_connection = True
            if self.store.passes_on_late:
                self._pass_on(content)
        elif self.store.refusals_left > 0 and self.store.refusal:
            self.store.refusals_left -= 1
            self._refuse(*self.store.refusal)
        else:
            self._pass_on(content, cuts=self.store.cuts, shortens=self.store.shortens)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815

    def _refuse(self, status: int, code: str) -> None:
        # Stores repeat what was signed, and by which key.
        authorization = self.headers.get("Authorization", "")
        text = f"<Error><Code>{code}</Code><Message>{authorization}</Message></Error>".encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def _pass_on(self, content: bytes, *, cuts: bool = False, shortens: bool = False) -> None:
        connection = HTTPConnection("127.0.0.1", self.store.upstream, timeout=30)
        connection.putrequest(
            self.command, self.path, skip_host=True, skip_accept_encoding=True
        )  # with the client's own Host, which is signed
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(content or None)
        answer = connection.getresponse()
        received = answer.read()
        connection.close()
        sent = received[: len(received) // 2] if cuts or shortens else received
        self._answer(answer, sent, len(received) if cuts else len(sent))

    def _answer(self, answer: HTTPResponse, sent: bytes, length: int) -> None:
        if self.command == "HEAD":
            length = int(answer.headers.get("Content-Length", 0))
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            if name.lower() not in _OF_ONE_CONNECTION:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(sent)
        if length > len(sent) and self.command != "HEAD":
            self.wfile.flush()
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Write nothing."""
