"""Answers on the metrics port: the metrics at their path, and 404 for everything else.

prometheus-flask-exporter does this: it adds the path, chooses the text format or OpenMetrics,
whichever the client prefers, and picks the metrics asked for with `name[]`. It doesn't count
requests here: docs/metrics.md says what that would cost.
"""

import os
import socket
import time
from contextlib import suppress
from typing import Any

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler

from app.metrics.exposition import Exposition

TIMEOUT_SECONDS = 5
CONNECTION_SECONDS = 10
MOST_CONNECTIONS = 32


class _Handler(WSGIRequestHandler):
    """Closes the connection of a client that exceeds the timeout; logs no requests."""

    timeout = TIMEOUT_SECONDS

    def version_string(self) -> str:
        """Return the Server header, without versions."""
        return "gomail"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


class _Server(ThreadedWSGIServer):
    """Keeps each connection for a while only, and the newest of them.

    The timeout is for each read: a client that sends a byte now and then would never exceed it.
    """

    def __init__(self, listener: socket.socket, app: Flask) -> None:
        host, port = listener.getsockname()[:2]
        self._ends: dict[socket.socket, float] = {}
        super().__init__(host, port, app, handler=_Handler, fd=listener.fileno())

    def process_request(self, request: Any, client_address: Any) -> None:
        """Handle a connection in a thread; the oldest has to make room for it."""
        self._ends[request] = time.monotonic() + CONNECTION_SECONDS
        if len(self._ends) > MOST_CONNECTIONS:
            self._end(next(iter(self._ends.copy())))
        super().process_request(request, client_address)

    def service_actions(self) -> None:
        """End the connections whose time is up; called after each, and twice a second."""
        super().service_actions()
        now = time.monotonic()
        for request, end in self._ends.copy().items():
            if now >= end:
                self._end(request)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection; called by its thread, or when there is none for it."""
        self._ends.pop(request, None)
        super().shutdown_request(request)

    def _end(self, request: socket.socket) -> None:
        self._ends.pop(request, None)
        with suppress(OSError):  # its thread may have closed it this moment
            request.shutdown(socket.SHUT_RDWR)


def metrics_app(path: str, exposition: Exposition) -> Flask:
    """Return the application that answers with `exposition` at `path`, and 404 elsewhere."""
    registry = CollectorRegistry()
    registry.register(exposition)
    app = Flask(__name__, static_folder=None)
    PrometheusMetrics(app, path=path, export_defaults=False, registry=registry)
    return app


def serve(listener: socket.socket, path: str, exposition: Exposition) -> None:
    """Answer on `listener` forever, with a thread for each client."""
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)  # if set, the exporter would read that directory instead
    _Server(listener, metrics_app(path, exposition)).serve_forever()
