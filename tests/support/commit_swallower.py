"""A proxy before PostgreSQL that can lose the answer to a commit."""

import asyncio
import re
import struct
import threading
from asyncio import StreamReader, StreamWriter
from contextlib import suppress
from typing import NamedTuple, Self

_ENCRYPTIONS = {80877103, 80877104}
"""The codes with which a client asks for TLS and for GSSAPI, before anything else."""
_ENCRYPTIONS_ANSWER = b"N"
_IDLE = b"I"


class _Message(NamedTuple):
    """One of the protocol's: its kind, a letter, and all of its bytes."""

    kind: bytes
    whole: bytes

    @property
    def content(self) -> bytes:
        return self.whole[5:]


class CommitSwallower:
    """Forwards connections to a server on loopback; a context manager.

    After `swallow(n)`, the next n transactions that have inserted into `table` are committed, but
    their clients' connections break instead of bringing the answer.
    """

    def __init__(self, server_port: int, table: str = "message") -> None:
        self._server_port = server_port
        self._inserts = re.compile(rb"INSERT INTO %b\b" % table.encode())
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[asyncio.Task[None]] = set()
        self._left = 0
        self.port = 0
        self.swallowed = 0

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, database: str) -> str:
        """Return what database_url is set to."""
        return f"postgresql://gomail@127.0.0.1:{self.port}/{database}"

    def swallow(self, count: int) -> None:
        """Lose the answers to the next `count` commits."""
        self._left = count

    async def _listen(self) -> asyncio.Server:
        return await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=128)

    async def _end(self) -> None:
        self._listening.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._forward(reader, writer)
        finally:
            self._connections.discard(task)
            writer.close()

    async def _forward(self, reader: StreamReader, writer: StreamWriter) -> None:
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        to_server.write(await _start_up(reader, writer))
        connection = _Connection(self, reader, writer, from_server, to_server)
        ways = [
            asyncio.create_task(connection.to_server()),
            asyncio.create_task(connection.to_client()),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            to_server.close()

    def inserts(self, request: _Message) -> bool:
        """Tell whether a client's request has a statement that inserts into the table."""
        return request.kind in {b"Q", b"P"} and bool(self._inserts.search(request.content))

    def takes(self) -> bool:
        """Tell whether the answer to a commit is lost."""
        if not self._left:
            return False
        self._left -= 1
        self.swallowed += 1
        return True


class _Connection:
    """One client's, after its start."""

    def __init__(
        self,
        swallower: CommitSwallower,
        from_client: StreamReader,
        to_client: StreamWriter,
        from_server: StreamReader,
        to_server: StreamWriter,
    ) -> None:
        self._swallower = swallower
        self._client = (from_client, to_client)
        self._server = (from_server, to_server)
        self._inserts = False

    async def to_server(self) -> None:
        """Forward what the client sends until it breaks off."""
        while True:
            request = await _read(self._client[0])
            self._inserts = self._inserts or self._swallower.inserts(request)
            self._server[1].write(request.whole)
            await self._server[1].drain()

    async def to_client(self) -> None:
        """Forward what the server answers, until an answer is swallowed.

        The answer to an insertion is held back until the server says that it waits for the next
        request, and whether it is outside of a transaction, so has committed, or has failed.
        """
        held: list[_Message] = []
        while True:
            held.append(await _read(self._server[0]))
            is_end = held[-1].kind == b"Z"
            if self._inserts and not is_end:
                continue
            if self._inserts and held[-1].content == _IDLE:
                has_failed = any(each.kind == b"E" for each in held)
                if not has_failed and self._swallower.takes():
                    return
                self._inserts = False
            self._client[1].write(b"".join(each.whole for each in held))
            await self._client[1].drain()
            held.clear()


async def _start_up(reader: StreamReader, writer: StreamWriter) -> bytes:
    """Return the client's first message, once it has been told that nothing is encrypted."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        if code not in _ENCRYPTIONS:
            return head + await reader.readexactly(length - 8)
        writer.write(_ENCRYPTIONS_ANSWER)


async def _read(reader: StreamReader) -> _Message:
    head = await reader.readexactly(5)
    [length] = struct.unpack("!I", head[1:])
    return _Message(head[:1], head + await reader.readexactly(length - 4))
