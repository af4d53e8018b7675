"""What is answered on the metrics port: the metrics at their path, and nothing else.

prometheus-flask-exporter does the answering: the path, the text format or OpenMetrics, whichever
the client prefers, and `name[]` to ask for some metrics only. Its counting of requests is left
off: docs/metrics.md says what it would cost.
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
    """A client that is slower than its timeout loses its connection; no request is logged."""

    timeout = TIMEOUT_SECONDS

    def version_string(self) -> str:
        """Return what stands in the header Server; versions are nobody's business."""
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
    """Answer on `listener` for ever, each client in a thread of its own."""
    for name in ("PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"):
        os.environ.pop(name, None)  # with either, the exporter would show that directory instead
    host, port = listener.getsockname()[:2]
    app = metrics_app(path, exposition)
    make_server(
        host, port, app, threaded=True, request_handler=_Handler, fd=listener.fileno()
    ).serve_forever()
