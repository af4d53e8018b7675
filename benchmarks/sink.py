"""An endpoint that uses little CPU: `python benchmarks/sink.py PORT MILLISECONDS`.

It answers 200 after that time. GET returns the number of requests, and the largest number of
requests in flight in each tenth of a second since the first.
"""

import asyncio
import json
import sys
import time
from collections import Counter

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
PARTS_OF_A_SECOND = 10


class Figures:
    """The figures of all connections."""

    def __init__(self) -> None:
        self.requests = 0
        self.under_way = 0
        self.began: float | None = None
        self.most = Counter[int]()

    def begin(self) -> None:
        """Note a request."""
        now = time.monotonic()
        self.began = now if self.began is None else self.began
        self.requests += 1
        self.under_way += 1
        part = int((now - self.began) * PARTS_OF_A_SECOND)
        self.most[part] = max(self.most[part], self.under_way)

    def told(self) -> bytes:
        """Return an answer with the figures."""
        parts = range(max(self.most, default=-1) + 1)
        body = json.dumps({"requests": self.requests, "most": [self.most[part] for part in parts]})
        return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


class Connection(asyncio.Protocol):
    """Answers one request after the other."""

    def __init__(self, figures: Figures, seconds: float) -> None:
        self._figures = figures
        self._seconds = seconds
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer complete requests."""
        self._received += data
        head, end, rest = self._received.partition(b"\r\n\r\n")
        if not end:
            return
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        if len(rest) < int(length or 0):
            return
        self._received = rest[int(length or 0) :]
        if head.startswith(b"GET"):
            self._transport.write(self._figures.told())
        else:
            self._figures.begin()
            asyncio.get_running_loop().call_later(self._seconds, self._answer)

    def _answer(self) -> None:
        self._figures.under_way -= 1
        self._transport.write(ANSWER)


async def serve(port: int, seconds: float) -> None:
    """Answer until the process is killed."""
    figures = Figures()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(figures, seconds), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
