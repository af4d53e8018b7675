"""The addresses of a host, looked up in the background.

A look-up can take many seconds when a name server doesn't answer, and nothing can end it earlier.
So a thread does it, one at a time, and requests use the addresses found last.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address

FRESH_SECONDS = 30.0
RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


def look_up(name: str) -> list[str]:
    """Return the addresses of `name`, the preferred one first; raises OSError."""
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class HostName:
    """A host's name, or its address, which needs no look-up."""

    def __init__(
        self,
        name: str,
        look_up: Callable[[str], list[str]] = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._look_up = look_up
        self._clock = clock
        self._lock = threading.Lock()
        self._fresh_until = clock()
        self._looking: threading.Event | None = None
        self._found: Sequence[str] = []
        with suppress(ValueError):
            self._found = [str(ip_address(name))]
            self._fresh_until = float("inf")

    def addresses(self, seconds: float) -> Sequence[str]:
        """Return what was found last; if that is nothing, wait for at most `seconds`."""
        looking = self._begin_if_old()
        if not self._found and looking is not None:
            looking.wait(seconds)
        return self._found

    def put_last(self, address: str) -> None:
        """Note that `address` doesn't answer: others come first, and there may be new ones."""
        with self._lock:
            if address in self._found:
                self._found = [each for each in self._found if each != address] + [address]
            if self._fresh_until != float("inf"):
                self._fresh_until = self._clock()

    def _begin_if_old(self) -> threading.Event | None:
        with self._lock:
            if self._looking is None and self._clock() >= self._fresh_until:
                self._looking = threading.Event()
                thread = threading.Thread(target=self._look, name="look-up", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no thread can be started: the next request tries again
                    self._looking = None
            return self._looking

    def _look(self) -> None:
        found, fresh_for = self._found, RETRY_SECONDS
        try:
            found, fresh_for = self._look_up(self._name), FRESH_SECONDS
        except (OSError, UnicodeError) as error:
            _log.debug("%s can't be looked up: %s", self._name, error)
        finally:
            with self._lock:
                self._found = found
                self._fresh_until = self._clock() + fresh_for
                looking, self._looking = self._looking, None
            if looking is not None:
                looking.set()
