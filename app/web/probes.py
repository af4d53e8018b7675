"""GET /health, /ready and /metrics: for load balancers, orchestrators and people."""

import time
from datetime import UTC, datetime

from flask import Blueprint, Response, json

from app.errors import StorageUnavailable
from app.version import __version__
from app.web.answers import HealthSchema, TotalsSchema
from app.web.current import current_services

blueprint = Blueprint("probes", __name__)

# Read in the master before it forks, so every worker counts from the start of the server.
_started_at = time.monotonic()
_SCHEMA = HealthSchema()
_TOTALS_SCHEMA = TotalsSchema()


@blueprint.get("/health")
def health() -> Response:
    """Tell whether this process serves and can store.

    Returns:
    - 200 `healthy`
    - 503 `unhealthy` with reasons, when nothing can be written
    """
    answer = {"version": __version__, "uptime": round(time.monotonic() - _started_at, 3)}
    try:
        current_services().store.check()
    except StorageUnavailable as error:
        return _json({"status": "unhealthy", "reasons": [_reason(error)]} | answer, 503)
    return _json({"status": "healthy"} | answer, 200)


@blueprint.get("/ready")
def ready() -> Response:
    """Tell whether mail should be sent here now.

    Returns:
    - 200 `ready`
    - 503 `storage_unavailable`, when nothing can be written
    """
    current_services().store.check()
    return _json({"status": "ready"}, 200)


@blueprint.get("/metrics")
def metrics() -> Response:
    """Tell a person what the server has done since its start, summed over all workers.

    Returns:
    - 200
    """
    slots = current_services().slots
    totals = slots.totals()
    started = time.time() - (time.monotonic() - _started_at)
    answer = {
        "total_emails": totals.messages,
        "total_bytes": totals.bytes,
        "last_received": _time(totals.last_received_ms / 1000) if totals.messages else None,
        "uptime_seconds": round(time.monotonic() - _started_at, 3),
        "start_time": _time(started),
        "total_timeouts": totals.timeouts,
        "active_requests": slots.in_flight(),
        "shutting_down": slots.draining,
    }
    return Response(json.dumps(_TOTALS_SCHEMA.dump(answer)), content_type="application/json")


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _json(answer: dict[str, object], status: int) -> Response:
    document = json.dumps(_SCHEMA.dump(answer))
    return Response(document, status=status, content_type="application/json")


def _reason(error: StorageUnavailable) -> str:
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else None  # never the path
    return f"Storage can't be written: {reason or 'the log has the reason'}"
