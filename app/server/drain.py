"""The drain: from the signal to the end, without losing a request.

On SIGTERM or SIGINT the flag in the slots is raised: from then on every worker answers new
requests with 503 (app.web.drain), while those in flight finish. A thread of the master watches
their number, and hands the signal on to Gunicorn when there are none left or the time is up.
"""

import logging
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from app.server.listeners import turn_away
from app.server.shutdowns import Kind, record_shutdown
from app.server.slots import Slots

POLL_SECONDS = 0.05
QUIET_POLLS = 3  # a request may be between its head and its slot
REPORT_SECONDS = 5.0
TURN_AWAY_SECONDS = 2.0
CLOSE_SECONDS = 8  # for answers on the way, and clients that are slow to close

_log = logging.getLogger("gomail")


class Arbiter(Protocol):
    """The part of Gunicorn's master that is used here."""

    cfg: Any
    LISTENERS: Sequence[Any]
    systemd: bool
    master_pid: int
    reexec_pid: int
    handle_hup: Callable[[], None]

    def signal(self, number: int, frame: FrameType | None) -> None:
        """Queue a signal for the main loop."""
        ...


class Drain:
    """The way from the first signal to the end; one a master."""

    def __init__(self, arbiter: Arbiter, slots: Slots, data_dir: Path) -> None:
        self._arbiter = arbiter
        self._slots = slots
        self._data_dir = data_dir
        self._ending = False
        self._reload = arbiter.handle_hup

    def install(self) -> None:
        """Take SIGTERM and SIGINT over from Gunicorn, and SIGHUP while it drains."""
        self._arbiter.handle_hup = self._reload_unless_draining
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._slots.draining:
            self._ending = True  # the second signal ends at once
            return
        self._slots.drain()
        threading.Thread(target=self._run, name="drain", daemon=True).start()

    def _reload_unless_draining(self) -> None:
        # A reload would delay the end, and undo the graceful_timeout that it is given.
        if not self._slots.draining:
            self._reload()

    def _run(self) -> None:
        began = time.monotonic()
        remaining = self._wait(began + self._arbiter.cfg.graceful_timeout)
        if remaining == 0:
            self._finish("graceful", began, CLOSE_SECONDS)
        else:
            _log.warning("Forced shutdown with %d active requests", remaining)
            self._finish("forced", began, 0)

    def _wait(self, deadline: float) -> int:
        """Return the number of requests left when the waiting has an end."""
        quiet, report_at = 0, time.monotonic() + REPORT_SECONDS
        _log.info("Waiting for %d active requests to complete", self._slots.in_flight())
        while True:
            active = self._slots.in_flight()
            quiet = 0 if active else quiet + 1
            if quiet == QUIET_POLLS or self._ending or time.monotonic() >= deadline:
                return active
            if active and time.monotonic() >= report_at:
                _log.info("Still waiting for %d active requests", active)
                report_at += REPORT_SECONDS
            time.sleep(POLL_SECONDS)

    def _finish(self, kind: Kind, began: float, close_seconds: int) -> None:
        try:
            if kind == "graceful" and not self._listeners_live_on():
                turn_away([_socket(each) for each in self._arbiter.LISTENERS], TURN_AWAY_SECONDS)
            record_shutdown(self._data_dir, kind, time.monotonic() - began)
        except OSError as error:
            _log.warning("The shutdown can't be recorded: %s", error.strerror)
        finally:  # whatever happened, the end comes
            self._arbiter.cfg.set("graceful_timeout", close_seconds)
            self._arbiter.signal(signal.SIGTERM, None)

    def _listeners_live_on(self) -> bool:
        # systemd keeps its socket, and a binary upgrade shares it with the next master.
        return bool(self._arbiter.systemd or self._arbiter.master_pid or self._arbiter.reexec_pid)


def _socket(listener: Any) -> socket.socket:
    wrapped: socket.socket = listener.sock
    return wrapped
