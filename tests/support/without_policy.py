"""GoMail without the policy for HTML messages, as if somebody had forgotten it."""

import http.client
import re
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from support.server import Server

_HTML_OF_A_MESSAGE = re.compile(r"/inbox/[^/]+/html(\?.*)?")
_OF_THE_CONNECTION = {"connection", "transfer-encoding", "keep-alive"}


class WithoutPolicy(ThreadingHTTPServer):
    """Stands before a server, and takes the policy out of the HTML of messages.

    A test that changes answers in the browser would give them another address space, from which
    Chromium asks nothing on loopback.
    """

    daemon_threads = True

    def __init__(self, server: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = server.port

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """The address that a browser opens instead of the server's."""
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: WithoutPolicy

    def do_GET(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.target, timeout=30)
        with closing(connection):
            connection.request("GET", self.path, headers=dict(self.headers.items()))
            answer = connection.getresponse()
            body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if not self._is_left_out(name.lower()):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""

    def _is_left_out(self, name: str) -> bool:
        if name == "content-security-policy":
            return bool(_HTML_OF_A_MESSAGE.fullmatch(self.path))
        return name in _OF_THE_CONNECTION
