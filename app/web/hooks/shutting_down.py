"""During the drain, refuses new requests, including those for `/ready`."""

from flask import Flask

from app.errors import ShuttingDown
from app.web.request_context import current_request


def register(app: Flask) -> None:
    """Answer 503 to each request that came after the drain began."""
    app.before_request(_refuse)


def _refuse() -> None:
    # The worker has marked the request, and closes its connection after the answer.
    if not current_request().is_admitted:
        raise ShuttingDown("The server is shutting down: try again later.")
