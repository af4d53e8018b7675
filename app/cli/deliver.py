"""`flask gomail deliver`: delivers messages without a server."""

import logging
import logging.config
import os
import signal
import sys
import threading
import time
from pathlib import Path
from queue import SimpleQueue

import click

from app.cli.opened_store import exit_if_empty, exit_if_root_would_own, failures_end_the_command
from app.cli.options import config_option
from app.cli.validate import print_faults
from app.deliveries.dispatcher import Dispatcher
from app.deliveries.signing_secret import prepare_secrets
from app.delivery_services import dispatching
from app.heaps import share_heaps
from app.logs import log_config
from app.settings import Inspection, Settings, inspect

Signals = SimpleQueue[int]

LOOK_SECONDS = 0.05

_log = logging.getLogger("gomail")


@click.command()
@config_option
def deliver(config: Path | None) -> None:
    """Deliver stored messages to their endpoints until SIGTERM.

    The server does this, too: use this command without a server, or in addition to one. SIGHUP
    reloads the configuration.
    """
    inspection = inspect(config=config)
    print_faults(inspection)
    if inspection.settings is None:
        sys.exit(1)
    settings = inspection.settings
    if not settings.deliveries.endpoints:
        sys.exit("No endpoint is configured: set webhook_url or endpoints.")
    with failures_end_the_command(settings.storage):
        exit_if_empty(settings.storage)
        exit_if_root_would_own(settings.storage)
        prepare_secrets(settings.deliveries.endpoints, settings.storage.data_dir)
    share_heaps()
    signals = _noted_signals()
    _log_as(settings)
    _log.info("Configuration: %s", inspection.source)
    _serve(_Sending(settings), signals, config)


class _Sending:
    """A dispatcher that runs in its own thread until `finish` is called."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._dispatcher: Dispatcher | None = None
        self._has_begun = threading.Event()
        self._thread = threading.Thread(target=self._run, name="deliver", daemon=True)
        self._thread.start()
        self._has_begun.wait()
        names = ", ".join(endpoint.name for endpoint in settings.deliveries.endpoints)
        _log.info("Delivering to: %s", names)

    def finish(self) -> None:
        """Start no more requests."""
        if self._dispatcher is not None:
            self._dispatcher.stop()

    def has_finished(self) -> bool:
        """Return whether all requests have ended and their results are stored."""
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            with dispatching(self.settings) as self._dispatcher:
                self._has_begun.set()
                self._dispatcher.run()
        except Exception:  # noqa: BLE001 -- otherwise the process would stay, and do nothing
            _log.exception("The dispatcher failed")
            os._exit(1)


def _serve(sending: _Sending, signals: Signals, config: Path | None) -> None:
    """Deliver until a signal other than SIGHUP, then finish."""
    before: list[_Sending] = []
    while signals.get() == signal.SIGHUP:
        settings = _accepted(inspect(config=config), sending.settings)
        if settings is not None:
            sending.finish()
            before = [*(each for each in before if not each.has_finished()), sending]
            sending = _Sending(settings)  # without waiting for requests in flight
    sending.finish()
    _wait([*before, sending], signals)


def _wait(finishing: list[_Sending], signals: Signals) -> None:
    """Return when all have finished, at a second signal, or after shutdown_timeout."""
    _log.info("Waiting for requests to endpoints to complete")
    deadline = time.monotonic() + finishing[-1].settings.server.shutdown_timeout
    while not all(each.has_finished() for each in finishing):
        if not signals.empty() or time.monotonic() >= deadline:
            _log.warning("Requests to endpoints are cut off; they are repeated within 90 seconds")
            return
        time.sleep(LOOK_SECONDS)


def _accepted(inspection: Inspection, old: Settings) -> Settings | None:
    """Apply new settings and return them; if they are refused, log why and return None."""
    faults = list(map(str, inspection.errors))
    settings = inspection.settings
    if settings is not None and settings.storage != old.storage:
        faults.append("data_dir: can only be changed by a restart, not by a reload")
    for fault in faults:
        _log.error("The new configuration is refused, the old one stays in force: %s", fault)
    if faults or settings is None:
        return None
    _log_as(settings)
    _log.info("Configuration reloaded: %s", inspection.source)
    return settings


def _noted_signals() -> Signals:
    """Return a queue that receives SIGTERM, SIGINT and SIGHUP."""
    signals = Signals()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda number, _frame: signals.put(number))
    return signals


def _log_as(settings: Settings) -> None:
    logging.config.dictConfig(log_config(settings.logging.level, settings.logging.format))
