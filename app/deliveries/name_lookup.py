"""Looks up the addresses of names within a time limit.

A look-up can't be cancelled when a name server doesn't answer. So it runs in a thread, which is
abandoned at the deadline. Each name has one thread at a time, so that threads don't pile up.
"""

import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from queue import SimpleQueue


def look_up(name: str) -> list[str]:
    """Return the addresses of `name`, the preferred one first; raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _LookUp:
    """A running look-up, with its result or its error."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_over = threading.Event()
        self.found: Sequence[str] = ()
        self.error: Exception | None = None


class NameLookup:
    """Looks up names without a cache, so that every attempt sees changes; safe for threads."""

    def __init__(self, look_up: Callable[[str], list[str]] = look_up) -> None:
        self._look_up = look_up
        self._lock = threading.Lock()
        self._under_way: dict[str, _LookUp] = {}
        self._waiting: SimpleQueue[_LookUp | None] = SimpleQueue()
        self._threads = 0
        self._free_threads = 0

    def addresses(self, host: str, until: float) -> Sequence[str]:
        """Return the addresses of a name, or `host` itself if it is an address.

        Raises TimeoutError at `until`, a time of time.monotonic, and OSError if there are none.
        """
        if _is_address(host):
            return [host]
        looking = self._begin(host)
        if not looking.is_over.wait(max(until - time.monotonic(), 0)):
            raise TimeoutError
        if looking.error is not None:
            text = getattr(looking.error, "strerror", None) or str(looking.error)
            raise OSError(text) from looking.error
        return looking.found

    def close(self) -> None:
        """End the threads that are idle now, and others when their look-ups end."""
        with self._lock:
            for _ in range(self._threads):
                self._waiting.put(None)

    def _begin(self, name: str) -> _LookUp:
        with self._lock:
            looking = self._under_way.get(name)
            if looking is None:
                self._take_thread()
                looking = self._under_way[name] = _LookUp(name)
                self._waiting.put(looking)
            return looking

    def _take_thread(self) -> None:
        if self._free_threads > 0:
            self._free_threads -= 1
            return
        try:
            threading.Thread(target=self._run, name="look-up", daemon=True).start()
        except RuntimeError as error:  # no more threads
            raise OSError("no thread can be started") from error
        self._threads += 1

    def _run(self) -> None:
        while (looking := self._waiting.get()) is not None:
            try:
                looking.found = self._look_up(looking.name)
            except Exception as error:  # noqa: BLE001 -- waiting threads need every failure
                looking.error = error
            with self._lock:
                del self._under_way[looking.name]
                self._free_threads += 1
            looking.is_over.set()


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
