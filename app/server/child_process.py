"""A process beside the workers: a child of the master, which starts it again when it ends.

A thread of the master would be running when workers are forked; a worker would be too busy.
"""

import logging
import os
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from app.server.configuration import loaded_settings, shared_state
from app.server.gunicorn_internals.master import Master
from app.server.parent_death import signal_when_parent_ends
from app.settings import Settings

RETRY_SECONDS = 0.5
END_SECONDS = 1.0

_log = logging.getLogger("gomail")


class ChildProcess:
    """Keeps the process running; used in the master's main thread only."""

    def __init__(
        self,
        master: Master,
        name: str,
        run: Callable[[Settings], None],
        is_wanted: Callable[[Settings], bool] = lambda _: True,
    ) -> None:
        """The process does nothing but `run`, which may be killed at any moment.

        `name` has up to 15 characters and is what `ps` shows. Without a process that `is_wanted`
        under the settings in force, there is none.
        """
        self._master = master
        self._name = name
        self._run = run
        self._is_wanted = is_wanted
        self._settings: Settings | None = None
        self._pid_file: int | None = None
        self._not_before = 0.0
        self._has_complained = False

    def install(self) -> None:
        """Start the process, and check on it in each round of the master's main loop."""
        self._master.in_each_round(self._look_after)
        self.keep()

    def _look_after(self) -> None:
        shared_state.processes.end_other()
        self.keep()

    def keep(self) -> None:
        """Start the process unless it is running; restart it when the settings have changed."""
        settings = loaded_settings()
        is_new = settings is not self._settings
        if not is_new and (self._is_running() or time.monotonic() < self._not_before):
            return
        self.stop()
        self._settings = settings
        self._not_before = time.monotonic() + RETRY_SECONDS
        if settings is not None and self._is_wanted(settings):
            self._try_to_start(settings)

    def stop(self) -> None:
        """Kill the process; it has nothing to lose."""
        if self._pid_file is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pid_file, signal.SIGKILL)
            select.select([self._pid_file], [], [], END_SECONDS)  # until what it holds is free
            os.close(self._pid_file)
            self._pid_file = None

    def _is_running(self) -> bool:
        # Gunicorn may already have reaped it, but its descriptor still shows that it has ended.
        if self._pid_file is None:
            return False
        return not select.select([self._pid_file], [], [], 0)[0]

    def _try_to_start(self, settings: Settings) -> None:
        try:
            self._start(settings)
        except OSError as error:  # this must not end the master: mail is more important
            if not self._has_complained:
                _log.error(
                    "The %s process can't be started: %s. Trying again.", self._name, error.strerror
                )
            self._has_complained = True
        else:
            self._has_complained = False

    def _start(self, settings: Settings) -> None:
        master = os.getpid()
        # Until the child has its own handlers, a signal would run the master's in it.
        signal.pthread_sigmask(signal.SIG_BLOCK, self._master.signals)
        try:
            pid = os.fork()
        finally:
            if os.getpid() == master:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, self._master.signals)
        if pid:
            try:
                self._pid_file = os.pidfd_open(pid)
            except OSError:
                os.kill(pid, signal.SIGKILL)  # unsupervised, it would be in its successor's way
                raise
            return
        try:
            self._leave(master)
            self._run(settings)
        except Exception:  # noqa: BLE001 -- any failure must be logged
            _log.exception("The %s process has failed", self._name)
        finally:
            os._exit(1)  # never return into the master's code

    def _leave(self, master: int) -> None:
        """Drop what the child has inherited from the master, except for the shared memory."""
        signal_when_parent_ends(signal.SIGKILL, master)
        with suppress(OSError):
            Path("/proc/self/comm").write_text(self._name, encoding="ascii")
        shared_state.processes.leave()
        for number in self._master.signals:
            signal.signal(number, signal.SIG_IGN)  # a terminal signals the whole process group
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._master.signals)
        self._master.close_inherited()
