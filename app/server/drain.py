"""The drain: shuts down without losing a request.

SIGTERM or SIGINT sets a flag in the slots: from then on every worker answers new requests with 503
(app.web.hooks.shutting_down), while those in flight finish. The delivery process starts no more
requests to endpoints, and completes those in flight. A thread of the master watches both, and
passes the signal on to Gunicorn when nothing is left or the time is up. SIGQUIT ends all that at
once, and counts as a forced shutdown.
"""

import logging
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from app.server.child_process import ChildProcess
from app.server.gunicorn_internals.master import Master
from app.server.listeners import turn_away
from app.state.shutdowns import Kind, record_shutdown
from app.state.slots import Slots

POLL_SECONDS = 0.05
QUIET_POLLS = 3  # a request whose head has just been read may not be counted yet
REPORT_SECONDS = 5.0
TURN_AWAY_SECONDS = 2.0
CLOSE_SECONDS = 8  # for answers being sent, and clients that are slow to close

_log = logging.getLogger("gomail")


class Drain:
    """Runs from the first signal to the end of the master."""

    def __init__(
        self, master: Master, slots: Slots, data_dir: Path, children: Sequence[ChildProcess] = ()
    ) -> None:
        """`children` are the other child processes besides the workers."""
        self._master = master
        self._slots = slots
        self._data_dir = data_dir
        self._children = children
        self._ending = False
        self._quits = False

    def install(self) -> None:
        """Take over SIGTERM, SIGINT and SIGQUIT, and ignore SIGHUP during the drain."""
        # A reload would delay the end, and reset the graceful_timeout set for it.
        self._master.reload_only_if(lambda: not self._slots.draining)
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)
        signal.signal(signal.SIGQUIT, self._on_quit)

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        if self._slots.draining:
            self._ending = True  # the second signal ends the drain at once
        else:
            self._begin()

    def _on_quit(self, _number: int, _frame: FrameType | None) -> None:
        self._quits = self._ending = True
        if not self._slots.draining:
            self._begin()

    def _begin(self) -> None:
        self._slots.drain()
        for child in self._children:
            child.finish()
        thread = threading.Thread(target=self._run, name="drain", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # a limit of processes; the master's other work can wait
            self._run()

    def _run(self) -> None:
        began = time.monotonic()
        remaining = self._wait(began + self._master.graceful_timeout)
        if not self._have_finished():
            _log.warning("Requests to endpoints are cut off, and repeated after the next start")
        if remaining == 0 and not self._quits:
            self._finish("graceful", began, CLOSE_SECONDS)
        else:
            _log.warning("Forced shutdown with %s", _active_requests(remaining))
            self._finish("forced", began, 0)

    def _wait(self, deadline: float) -> int:
        """Return the number of requests left at the end of the wait."""
        quiet, report_at = 0, time.monotonic() + REPORT_SECONDS
        _log.info("Waiting for %s to complete", _active_requests(self._slots.in_flight()))
        while True:
            active, delivers = self._slots.in_flight(), not self._have_finished()
            quiet = 0 if active or delivers else quiet + 1
            if quiet == QUIET_POLLS or self._ending or time.monotonic() >= deadline:
                return active
            if (active or delivers) and time.monotonic() >= report_at:
                what = _active_requests(active) if active else "requests to endpoints"
                _log.info("Still waiting for %s", what)
                report_at += REPORT_SECONDS
            time.sleep(POLL_SECONDS)

    def _have_finished(self) -> bool:
        return all(child.has_finished() for child in self._children)

    def _finish(self, kind: Kind, began: float, close_seconds: int) -> None:
        try:
            if kind == "graceful" and not self._master.listeners_live_on():
                turn_away(self._master.listening_sockets(), TURN_AWAY_SECONDS)
            record_shutdown(self._data_dir, kind, time.monotonic() - began)
        except OSError as error:
            _log.warning("The shutdown can't be recorded: %s", error.strerror)
        finally:  # the master must end, whatever happened
            self._master.end(close_seconds)


def _active_requests(count: int) -> str:
    return f"{count} active request" if count == 1 else f"{count} active requests"
