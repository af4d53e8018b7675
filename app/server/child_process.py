"""A process beside the workers: a child of the master, which starts it again when it ends.

A thread of the master would be running when workers are forked; a worker would be too busy. A
process with work to finish gets a SIGTERM first, and its successor doesn't wait for it.
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
        *,
        finishes: bool = False,
    ) -> None:
        """The process does nothing but `run`, which may be killed at any moment.

        `name` has up to 15 characters and is what `ps` shows. Without a process that `is_wanted`
        under the settings in force, there is none. One that `finishes` returns from `run` some time
        after a SIGTERM.
        """
        self._master = master
        self._name = name
        self._run = run
        self._is_wanted = is_wanted
        self._finishes = finishes
        self._is_finishing = False
        self._finishing: list[int] = []
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
        if self._is_finishing:
            return
        self._forget_finished()
        settings = loaded_settings()
        is_new = settings is not self._settings
        if not is_new and (self._is_running() or time.monotonic() < self._not_before):
            return
        self._replace()
        self._settings = settings
        self._not_before = time.monotonic() + RETRY_SECONDS
        if settings is not None and self._is_wanted(settings):
            self._try_to_start(settings)

    def finish(self) -> None:
        """Let the process finish its work and end, and start no other.

        A signal handler may call this.
        """
        if self._finishes:
            self._is_finishing = True
            if self._pid_file is not None:
                _send(self._pid_file, signal.SIGTERM)

    def has_finished(self) -> bool:
        """Return whether no process has work to finish; any thread may call this."""
        before = list(self._finishing)
        return not self._finishes or not (self._is_running() or any(map(_runs, before)))

    def stop(self) -> None:
        """Kill the process, and predecessors that haven't finished."""
        own = [] if self._pid_file is None else [self._pid_file]
        self._pid_file, killed, self._finishing = None, own + self._finishing, []
        for pid_file in killed:
            _send(pid_file, signal.SIGKILL)
            select.select([pid_file], [], [], END_SECONDS)  # until its locks are free
            os.close(pid_file)

    def _replace(self) -> None:
        if not self._finishes:
            self.stop()
        elif self._pid_file is not None:
            _send(self._pid_file, signal.SIGTERM)
            self._finishing.append(self._pid_file)
            self._pid_file = None

    def _forget_finished(self) -> None:
        for pid_file in self._finishing[:]:
            if not _runs(pid_file):
                self._finishing.remove(pid_file)
                os.close(pid_file)

    def _is_running(self) -> bool:
        pid_file = self._pid_file
        return pid_file is not None and _runs(pid_file)

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
            if self._is_finishing:  # the master has received its signal meanwhile
                self.finish()
            return
        status = 1
        try:
            self._leave(master)
            self._run(settings)
            status = 0
        except Exception:  # noqa: BLE001 -- any failure must be logged
            _log.exception("The %s process has failed", self._name)
        finally:
            os._exit(status)  # never return into the master's code

    def _leave(self, master: int) -> None:
        """Drop what the child has inherited from the master, except for the shared memory."""
        signal_when_parent_ends(signal.SIGTERM if self._finishes else signal.SIGKILL, master)
        with suppress(OSError):
            Path("/proc/self/comm").write_text(self._name, encoding="ascii")
        shared_state.processes.leave()
        for number in self._master.signals:
            signal.signal(number, signal.SIG_IGN)  # a terminal signals the whole process group
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._master.signals)
        self._master.close_inherited()


def _send(pid_file: int, number: int) -> None:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(pid_file, number)


def _runs(pid_file: int) -> bool:
    # Gunicorn may already have reaped it, but its descriptor still shows that it has ended.
    try:
        return not select.select([pid_file], [], [], 0)[0]
    except OSError:  # the main thread has just closed it
        return False
