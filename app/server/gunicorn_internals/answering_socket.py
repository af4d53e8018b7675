"""A client's socket that sends an answer in one piece, and doesn't wait for the client to take it.

Gunicorn sends head and body separately, which costs a packet and often a wait. And a thread that
waits until its client reads is a thread that a hostile client has: what the client doesn't take at
once is left to the main loop, up to MOST_UNSENT_BYTES.
"""

import socket
from typing import Any

MOST_UNSENT_BYTES = 256 * 1024


class AnsweringSocket(socket.socket):
    """See the module. `unsent` is for the thread, then for the main loop."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self._head = b""
        self.unsent = b""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send `data`, or keep it."""
        if not self._head and data.startswith(b"HTTP/") and data.endswith(b"\r\n\r\n"):
            self._head = bytes(data)
            return
        if self._head:
            data, self._head = self._head + data, b""
        if len(self.unsent) + len(data) > MOST_UNSENT_BYTES:
            everything, self.unsent = self.unsent + data, b""
            super().sendall(everything, flags)
            return
        self.unsent += data
        self.send_more()

    def end_answer(self) -> None:
        """Send a head without a body."""
        if self._head:
            self.unsent, self._head = self.unsent + self._head, b""
            self.send_more()

    def send_more(self) -> None:
        """Send what the client takes now; raises OSError."""
        while self.unsent:
            try:
                sent = self.send(self.unsent, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            self.unsent = self.unsent[sent:]
