"""Endpoints that messages are sent to: servers on loopback that behave as badly as a test wants."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from email import message_from_string
from email.message import Message
from typing import Self

from support.raw_http import reset

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Received:
    """A request; `visit` is the number of its connection, from 1 on.

    Bytes of `headers` are read as ISO 8859-1.
    """

    path: str
    headers: Mapping[str, str]
    body: bytes
    visit: int


class Visit:
    """One connection, as what treats it sees it."""

    def __init__(self, server: "EndpointServer", connected: socket.socket, number: int) -> None:
        self.server = server
        self.connected = connected
        self.number = number
        self._file = connected.makefile("rb")

    def request(self) -> Received | None:
        """Return the next request, read to its end; None when there is none any more."""
        head = b"".join(iter(self._line, b""))
        if not head:
            return None
        first, _, fields = head.partition(b"\r\n")
        headers: Message = message_from_string(fields.decode("latin-1"))
        body = self._file.read(int(headers["Content-Length"]))
        received = Received(first.split()[1].decode(), dict(headers.items()), body, self.number)
        self.server.received.append(received)
        return received

    def requests(self) -> Iterator[Received]:
        """Yield one request after the other."""
        while (received := self.request()) is not None:
            yield received

    def send(self, data: bytes) -> None:
        """Send `data`."""
        self.connected.sendall(data)

    def drip(self, data: bytes, seconds: float = 0.05) -> None:
        """Send a byte at a time, as long as the server runs."""
        for byte in data:
            if self.server.is_over.wait(seconds):
                return
            self.send(bytes([byte]))

    def hang(self) -> None:
        """Do nothing until the server ends."""
        self.server.is_over.wait()

    def reset(self) -> None:
        """End the connection with an error."""
        self._file.close()
        reset(self.connected)

    def close(self) -> None:
        """Close the connection, which a file keeps open otherwise."""
        self._file.close()
        self.connected.close()

    def _line(self) -> bytes:
        line = self._file.readline()
        return b"" if line == b"\r\n" else line


Treat = Callable[[Visit], None]


def healthy(visit: Visit) -> None:
    """Answer each request with 200."""
    for _ in visit.requests():
        visit.send(OK)


def answering(*answers: bytes) -> Treat:
    """Return what answers the first request of a connection so, and then closes it."""

    def treat(visit: Visit) -> None:
        visit.request()
        for each in answers:
            visit.send(each)

    return treat


class EndpointServer:
    """A server with a thread a connection; a context manager.

    `received` are its requests, `visits` the number of its connections.
    """

    def __init__(
        self, treat: Treat, tls: ssl.SSLContext | None = None, at: str = "127.0.0.1", port: int = 0
    ) -> None:
        self.treat = treat
        self.received: list[Received] = []
        self.visits = 0
        self.is_over = threading.Event()
        self._tls = tls
        self._at = (at, port)
        self._connections: list[socket.socket] = []
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        self._listening = socket.create_server(self._at, backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self._start(self._listen)
        return self

    def __exit__(self, *_: object) -> None:
        self.is_over.set()
        for each in (self._listening, *self._connections):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self._listening.close()

    def url(self, host: str = "127.0.0.1", path: str = "/hooks/mail") -> str:
        """Return its URL under the name `host`."""
        return f"http{'s' if self._tls else ''}://{host}:{self.port}{path}"

    def _start(self, run: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=run, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _listen(self) -> None:
        with suppress(OSError):  # when it is shut
            while True:
                connected, _ = self._listening.accept()
                self.visits += 1
                self._start(self._treat, connected, self.visits)

    def _treat(self, connected: socket.socket, number: int) -> None:
        connected.settimeout(20)
        with suppress(OSError), closing(self._secured(connected)) as secured:
            self._connections.append(secured)
            with closing(Visit(self, secured, number)) as visit:
                self.treat(visit)

    def _secured(self, connected: socket.socket) -> socket.socket:
        if self._tls is None:
            return connected
        try:
            return self._tls.wrap_socket(connected, server_side=True)
        except OSError:
            connected.close()
            raise


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port that nothing listens on."""
    with closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]
