"""What stands between a client and GoMail, and does what networks and proxies do at their worst."""

import shutil
import socket
import threading
from contextlib import suppress
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Self

INTERNAL_ERROR = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"
HTML = (
    b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 38\r\n\r\n"
    b'<html>"code": "policy_reject"</html>\r\n'
)
WRONG_SUCCESS = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nHi\r\n"
HANG = b""


class Front(ThreadingTCPServer):
    """Forwards connections to `port`, or answers `answer` to each; HANG never answers."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = ("127.0.0.1", port)
        self.answer: bytes | None = None

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @property
    def url(self) -> str:
        """Where messages go."""
        return f"http://127.0.0.1:{self.server_address[1]}/mail/inbound"


class _Handler(StreamRequestHandler):
    server: Front

    def handle(self) -> None:
        answer = self.server.answer
        if answer is None:
            with suppress(OSError):
                self._forward()
            return
        self._read_message()
        self.wfile.write(answer)
        if answer == HANG:
            self.connection.recv(1)  # until the client gives up

    def _read_message(self) -> None:
        length = None
        while header := self.rfile.readline().strip():
            name, _, value = header.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if length is not None:
            self.rfile.read(length)
            return
        self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while size := int(self.rfile.readline(), 16):
            self.rfile.read(size + 2)
        self.rfile.readline()

    def _forward(self) -> None:
        with socket.create_connection(self.server.target) as upstream:
            answering = threading.Thread(target=self._pass_answer, args=[upstream], daemon=True)
            answering.start()
            with suppress(OSError):
                while data := self.connection.recv(65536):
                    upstream.sendall(data)
                upstream.shutdown(socket.SHUT_WR)
            answering.join()

    def _pass_answer(self, upstream: socket.socket) -> None:
        with suppress(OSError), upstream.makefile("rb", buffering=0) as answer:
            shutil.copyfileobj(answer, self.wfile)
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
