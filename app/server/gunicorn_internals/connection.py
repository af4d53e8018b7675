"""A client's connection: what has arrived on it, and what its thread does."""

import select
import time
from socket import MSG_DONTWAIT, socket
from typing import Any

from gunicorn.workers.gthread import TConn

from app.server.gunicorn_internals.answering_socket import AnsweringSocket
from app.server.gunicorn_internals.arrival import HELD_BYTES, Arrival, Missing
from app.server.gunicorn_internals.body import has_arrived
from app.web.request_context import RequestContext

RECEIVE_BYTES = 16 * 1024
# What a thread collects itself. For a message of 64 KiB, going through the main loop again, in
# pieces of RECEIVE_BYTES, would cost an eighth of its CPU time.
FOLLOWING_BYTES = 256 * 1024


class Connection(TConn):
    """A connection; the main loop and the thread that has it take turns."""

    timeout: float
    parser: Any
    sock: AnsweringSocket

    def __init__(self, cfg: Any, accepted: socket, address: Any, server: Any) -> None:
        super().__init__(cfg, AnsweringSocket(accepted), address, server)
        self.arrival = Arrival(self.cfg.limit_request_line)
        self.began = 0.0  # when the first byte of the request came, on the monotonic clock
        self.has_ended = False  # the client sends no more
        self.is_upload = False  # its thread waits for its client
        self.is_kept = False  # once its answer is sent
        self.left_to_read = 0  # before it is closed
        self.context: RequestContext | None = None

    def receive(self, most: int = RECEIVE_BYTES) -> None:
        """Take up to `most` bytes of what has arrived, without waiting; raises OSError."""
        data = self.sock.recv(most, MSG_DONTWAIT)
        if data:
            self.arrival.add(data)
        else:
            self.has_ended = True

    def forget_arrival(self) -> None:
        """Drop what has arrived."""
        self.arrival = Arrival(self.cfg.limit_request_line)

    def give_to_parser(self) -> None:
        """Let Gunicorn's parser read what has arrived."""
        self.init()
        data, self.arrival.data = self.arrival.data, bytearray()
        self.parser.unreader.unread(bytes(data))

    def next_request(self, milliseconds: int) -> None:
        """Begin the next request with what has arrived of it; wait for it that long."""
        self.forget_arrival()
        self.began = time.monotonic()
        buffered = self.parser.unreader.take_buffered()
        if buffered:
            self.arrival.add(buffered)
        until = self.began + milliseconds / 1000
        while milliseconds and (room := self._room()) > 0 and self._has_more(until):
            try:
                self.receive(room)
            except BlockingIOError:
                return
            if time.monotonic() >= until:  # one that sends in tiny pieces doesn't keep a thread
                return

    def _room(self) -> int:
        """Return how many more bytes are worth waiting for."""
        arrival = self.arrival
        if self.has_ended or arrival.is_awaiting or arrival.missing is Missing.NOTHING:
            return 0
        most = FOLLOWING_BYTES if arrival.missing is Missing.BODY else HELD_BYTES
        return most - len(arrival.data)

    def _has_more(self, until: float) -> bool:
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(max(0.0, (until - time.monotonic()) * 1000)))

    @property
    def waits_for_client_since(self) -> float | None:
        """Since when its thread has waited for the client; None while the server works."""
        deadline = self.context.deadline if self.context else None
        if deadline is None or deadline.request is None:
            return None
        if deadline.answering or not has_arrived(deadline.request.body):
            return deadline.since
        return None

    def bytes_per_second(self, now: float) -> float:
        """Return how fast the client has sent its body; 0 for one that is to take its answer."""
        deadline = self.context.deadline if self.context else None
        if deadline is None or deadline.request is None or deadline.answering:
            return 0
        received: int = deadline.request.body.received
        return received / max(now - deadline.since, 0.001)

    def close(self, graceful: bool = False) -> None:
        """Close the connection unless it is closed."""
        if self.sock.fileno() >= 0:
            super().close(graceful)
