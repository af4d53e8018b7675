"""The process that sends messages to their endpoints, if any are configured.

Other processes, such as `flask gomail deliver`, may run at the same time: each has its own claims.
"""

import gc
import logging
import signal

from app.heaps import share_heaps
from app.metrics.delivery_recorder import DeliveryRecorder
from app.metrics.slot_values import keep_for_deliveries
from app.server.child_process import ChildProcess
from app.server.gunicorn_internals.master import Master
from app.server.worker_metrics import metrics_directory
from app.settings import Settings

_log = logging.getLogger("gomail")


def delivery_process(master: Master) -> ChildProcess:
    """Return the child process; at its end, it completes the requests in flight."""
    return ChildProcess(master, "deliveries", _run, _is_wanted, finishes=True)


def _is_wanted(settings: Settings) -> bool:
    if settings.metrics.enabled:
        metrics_directory()  # must exist before the fork
    return bool(settings.deliveries.endpoints)


def _run(settings: Settings) -> None:
    # Imported here, since it takes memory and opens a socket.
    from app.delivery_services import dispatching  # noqa: PLC0415

    share_heaps()
    recorder = _recorder(settings)
    with dispatching(settings, recorder) as dispatcher:
        signal.signal(signal.SIGTERM, lambda *_: dispatcher.stop())
        gc.freeze()  # as in a worker
        dispatcher.run()


def _recorder(settings: Settings) -> DeliveryRecorder | None:
    directory = metrics_directory() if settings.metrics.enabled else None
    if directory is None:
        return None
    try:
        keep_for_deliveries(directory)
    except OSError as error:
        _log.error("The delivery process can't record metrics: %s", error.strerror)
        return None
    return DeliveryRecorder([endpoint.name for endpoint in settings.deliveries.endpoints])
