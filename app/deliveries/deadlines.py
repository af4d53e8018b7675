"""Ends requests at their deadline, whatever they wait for.

The timeout of a socket applies to a single read or write: an answer of one byte per second would
never end.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_NEVER = float("inf")


class DeadlineWatch:
    """Shuts down the sockets of requests at their deadline, in one thread for all of them."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._guarded: dict[object, tuple[float, socket.socket]] = {}
        self._looks_at = _NEVER
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextmanager
    def guard(self, connected: socket.socket, at: float) -> Iterator[None]:
        """Shut down `connected` at `at`, a time of time.monotonic.

        From then on, reads return the end of the stream, and writes raise OSError.
        """
        key = object()
        with self._change:
            self._start()
            self._guarded[key] = (at, connected)
            if at < self._looks_at:
                self._looks_at = at
                self._change.notify()
        try:
            yield
        finally:
            with self._change:
                self._guarded.pop(key, None)

    def close(self) -> None:
        """End the thread, after the deadlines of requests that are still in flight."""
        with self._change:
            self._is_closed = True
            self._change.notify()

    def _start(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run, name="deadlines", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        with self._change:
            while True:
                self._shut(time.monotonic())
                if self._is_closed and not self._guarded:
                    return
                self._looks_at = min((at for at, _ in self._guarded.values()), default=_NEVER)
                self._wait()

    def _wait(self) -> None:
        # Until then, also if that request has ended: otherwise each short one would wake this
        # thread, which took a tenth of the time of all deliveries.
        while (seconds := self._looks_at - time.monotonic()) > 0:
            self._change.wait(None if seconds == _NEVER else seconds)
            if self._is_closed:
                return

    def _shut(self, now: float) -> None:
        for key, (at, connected) in list(self._guarded.items()):
            if at <= now:
                del self._guarded[key]
                # Not its own method: that of a TLS socket would let a writer continue unencrypted.
                with suppress(OSError):
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)
