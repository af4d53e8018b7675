"""Answers on the metrics port: the metrics at their path, and 404 for everything else.

prometheus-flask-exporter does this: it adds the path, chooses the text format or OpenMetrics,
whichever the client prefers, and picks the metrics asked for with `name[]`. It doesn't count
requests here: docs/metrics.md says what that would cost.
"""

import os
import socket

from flask import Flask
from prometheus_client import CollectorRegistry
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.serving import WSGIRequestHandler, make_server

from app.metrics.exposition import Exposition

TIMEOUT_SECONDS = 5


class _Handler(WSGIRequestHandler):
    """Closes the connection of a client that exceeds the timeout; logs no requests."""

    timeout = TIMEOUT_SECONDS

    def version_string(self) -> str:
        """Return the Server header, without versions."""
        return "gomail"

    def log(self, type: str, message: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""


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
    host, port = listener.getsockname()[:2]
    app = metrics_app(path, exposition)
    make_server(
        host, port, app, threaded=True, request_handler=_Handler, fd=listener.fileno()
    ).serve_forever()
