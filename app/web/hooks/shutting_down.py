"""During the drain, refuses new requests, including those for `/ready`."""

from app.errors import ShuttingDown
from app.web.request_context import RequestContext


def refuse_if_draining(context: RequestContext) -> None:
    """Raise ShuttingDown for a request that came after the drain began."""
    # The worker has marked the request, and closes its connection after the answer.
    if not context.is_admitted:
        raise ShuttingDown("The server is shutting down: try again later.")
