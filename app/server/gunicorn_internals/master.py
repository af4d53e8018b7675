"""The parts of Gunicorn's master (its Arbiter) that GoMail uses."""

import errno
import logging
import signal
import socket
from collections.abc import Callable
from typing import Any

_log = logging.getLogger("gomail")


class Master:
    """What the drain and the child processes need from the master; used in its process only."""

    def __init__(self, arbiter: Any) -> None:
        self._arbiter = arbiter

    @property
    def signals(self) -> list[int]:
        """The signals that the master has handlers for."""
        return list(self._arbiter.SIGNALS)

    @property
    def graceful_timeout(self) -> int:
        """How many seconds workers get to finish their requests."""
        return int(self._arbiter.cfg.graceful_timeout)

    def listening_sockets(self) -> list[socket.socket]:
        """Return the sockets of the API port."""
        return [listener.sock for listener in self._arbiter.LISTENERS]

    def listeners_live_on(self) -> bool:
        """Return whether systemd, or the next master (SIGUSR2), keeps the sockets open."""
        arbiter = self._arbiter
        return bool(arbiter.systemd or arbiter.master_pid or arbiter.reexec_pid)

    def reload_only_if(self, is_allowed: Callable[[], bool]) -> None:
        """From now on ignore SIGHUP unless `is_allowed` returns True."""
        reload = self._arbiter.handle_hup

        def handle_hup() -> None:
            if is_allowed():
                reload()

        self._arbiter.handle_hup = handle_hup

    def in_each_round(self, action: Callable[[], None]) -> None:
        """Call `action` in each round of the main loop, about once a second."""
        manage_workers = self._arbiter.manage_workers

        def manage_all() -> None:
            manage_workers()
            action()

        self._arbiter.manage_workers = manage_all

    def survive_failed_forks(self, give_back: Callable[[Any], None]) -> None:
        """Go on when a worker can't be forked, instead of ending: the main loop tries again.

        `give_back` takes back what the worker got before, which the master has as `unborn`.
        """
        spawn_worker = self._arbiter.spawn_worker

        def spawn_patiently() -> None:
            try:
                spawn_worker()
            except OSError as error:
                if error.errno not in {errno.EAGAIN, errno.ENOMEM}:
                    raise
                _log.error("A worker can't be started: %s. Trying again.", error.strerror)
                self._arbiter.unborn.tmp.close()
                give_back(self._arbiter.unborn)

        self._arbiter.spawn_worker = spawn_patiently

    def end(self, seconds: int) -> None:
        """Start Gunicorn's own graceful shutdown, which gives workers `seconds`."""
        self._arbiter.cfg.set("graceful_timeout", seconds)
        self._arbiter.signal(signal.SIGTERM, None)

    def close_inherited(self) -> None:
        """In a child that isn't a worker: close the inherited ports and files of workers."""
        for listener in self.listening_sockets():
            listener.close()
        for worker in self._arbiter.WORKERS.values():
            worker.tmp.close()
