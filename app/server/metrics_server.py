"""The process that serves the metrics port: a child of the master, next to the workers.

A thread of the master would leak the port into the workers and be running when they are forked; a
worker would be too busy to answer when the answer matters most.
"""

import logging
import os
import select
import signal
import socket
import time
from contextlib import suppress

from app.metrics.exposition import Exposition
from app.server.configuration import loaded_settings, shared_state
from app.server.gunicorn_internals.master import Master
from app.server.parent_death import signal_when_parent_ends
from app.server.worker_metrics import metrics_directory
from app.settings import Settings
from app.settings.model import Metrics
from app.web.metrics_port import serve

RETRY_SECONDS = 0.5
END_SECONDS = 1.0

_log = logging.getLogger("gomail")


class MetricsServer:
    """Keeps the process running; used in the master's main thread only."""

    def __init__(self, master: Master) -> None:
        self._master = master
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
        if settings is not None and settings.metrics.enabled and metrics_directory() is not None:
            self._try_to_start(settings)

    def stop(self) -> None:
        """Kill the process; it has nothing to lose."""
        if self._pid_file is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pid_file, signal.SIGKILL)
            select.select([self._pid_file], [], [], END_SECONDS)  # until its port is free
            os.close(self._pid_file)
            self._pid_file = None

    def _is_running(self) -> bool:
        # Gunicorn may already have reaped it, but its descriptor still shows that it has ended.
        if self._pid_file is None:
            return self._settings is not None and not self._settings.metrics.enabled
        return not select.select([self._pid_file], [], [], 0)[0]

    def _try_to_start(self, settings: Settings) -> None:
        try:
            self._start(settings)
        except OSError as error:  # this must not end the master: mail is more important
            if not self._has_complained:
                _log.error(
                    "The process for the metrics port can't be started: %s. Trying again.",
                    error.strerror,
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
                os.kill(pid, signal.SIGKILL)  # unsupervised, it would keep the port
                raise
            return
        try:
            self._leave(master)
            self._run(settings)
        except Exception:  # noqa: BLE001 -- any failure must be logged
            _log.exception("The process for the metrics port has failed")
        finally:
            os._exit(1)  # never return into the master's code

    def _leave(self, master: int) -> None:
        """Drop what the child has inherited from the master, except for the shared memory."""
        signal_when_parent_ends(signal.SIGKILL, master)
        shared_state.processes.leave()
        for number in self._master.signals:
            signal.signal(number, signal.SIG_IGN)  # a terminal signals the whole process group
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, self._master.signals)
        self._master.close_inherited()

    def _run(self, settings: Settings) -> None:
        directory = metrics_directory()
        if directory is not None:
            exposition = Exposition(directory, settings, shared_state.slots, shared_state.processes)
            serve(_listen(settings.metrics), settings.metrics.path, exposition)


def _listen(metrics: Metrics) -> socket.socket:
    """Return a listening socket; retry until the address is free."""
    has_complained = False
    while True:
        try:
            family = socket.getaddrinfo(metrics.host, metrics.port, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((metrics.host, metrics.port), family=family)
        except OSError as error:
            if not has_complained:
                _log.error(
                    "The metrics port %s:%d can't be opened: %s. Trying again.",
                    metrics.host,
                    metrics.port,
                    error.strerror,
                )
                has_complained = True
            time.sleep(RETRY_SECONDS)
