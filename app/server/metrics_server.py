"""The process that serves the metrics port: it must answer while the workers are busy."""

import logging
import socket
import time

from app.metrics.exposition import Exposition
from app.server.child_process import ChildProcess
from app.server.configuration import shared_state
from app.server.gunicorn_internals.master import Master
from app.server.stored_figures import StoredFigures
from app.server.worker_metrics import metrics_directory
from app.settings import Settings
from app.settings.model import Metrics
from app.storage.factory import open_store
from app.web.metrics_port import serve

RETRY_SECONDS = 0.5

_log = logging.getLogger("gomail")


def metrics_process(master: Master) -> ChildProcess:
    """Return what keeps the process running."""
    return ChildProcess(master, "metrics", _run, _is_wanted)


def _is_wanted(settings: Settings) -> bool:
    return settings.metrics.enabled and metrics_directory() is not None


def _run(settings: Settings) -> None:
    directory = metrics_directory()
    if directory is not None:
        figures = StoredFigures(open_store(settings.storage))
        exposition = Exposition(
            directory, settings, shared_state.slots, shared_state.processes, figures
        )
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
