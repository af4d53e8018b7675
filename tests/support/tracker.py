"""A server on loopback that HTML mail may want to tell that it was read."""

import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from support.html_mail import PNG


@dataclass(frozen=True)
class Asked:
    """One request; names of headers are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]


class Tracker:
    """Notes each request, and each connection, also one without a request; a context manager.

    `answers` maps paths to pages; for all others there is a picture.
    """

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.asked: list[Asked] = []
        self.connections = 0
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        """Return the URL of `path`, which has no slash at its beginning."""
        return f"http://{host}:{self._server.server_port}/{path}"

    def paths(self) -> set[str]:
        """Return the first segments of the paths that were asked for."""
        return {re.split("[/?]", each.path)[1] for each in self.asked}

    def forget(self) -> None:
        """Begin anew."""
        self.asked.clear()
        self.connections = 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, tracker: Tracker) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tracker = tracker

    def get_request(self) -> tuple[socket.socket, Any]:
        accepted = super().get_request()
        self.tracker.connections += 1
        return accepted


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        tracker = self.server.tracker
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.rfile.read(int(headers.get("content-length", "0")))
        tracker.asked.append(Asked(self.command, self.path, headers))
        page = tracker.answers.get(self.path.removeprefix("/"))
        self.send_response(200)
        self.send_header("Content-Type", "image/png" if page is None else "text/html")
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(PNG if page is None else page.encode())

    do_POST = do_HEAD = do_OPTIONS = do_GET  # noqa: N815 -- the names that the base class wants

    def log_message(self, *_: object) -> None:
        """Write nothing: `asked` has it all."""
