"""GET /health, /ready, /metrics and /openapi.json: for load balancers, orchestrators and people."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

import yaml
from flask import Blueprint, Response, json
from marshmallow import Schema

from app.errors import StorageUnavailable
from app.version import __version__
from app.web.access import public
from app.web.request_context import current_request, current_services
from app.web.schemas import HealthSchema, ReadySchema, TotalsSchema

blueprint = Blueprint("probes", __name__)

_HEALTH_SCHEMA = HealthSchema()
_READY_SCHEMA = ReadySchema()
_TOTALS_SCHEMA = TotalsSchema()


@blueprint.get("/health")
@public
def health() -> Response:
    """Report whether this process serves and can store.

    Returns:
    - 200 `healthy`
    - 503 `unhealthy` with reasons, when the store can't be written to
    """
    answer = {"version": __version__, "uptime": _uptime()}
    try:
        current_services().store.check()
    except StorageUnavailable as error:
        reason = current_request().detail = _reason(error)
        unhealthy = {"status": "unhealthy", "reasons": [reason]} | answer
        return _json(_HEALTH_SCHEMA, unhealthy, 503)
    return _json(_HEALTH_SCHEMA, {"status": "healthy"} | answer)


@blueprint.get("/ready")
@public
def ready() -> Response:
    """Report whether mail should be sent here now.

    Returns:
    - 200 `ready`
    - 503 `storage_unavailable` when the store can't be written to
    """
    current_services().store.check()
    return _json(_READY_SCHEMA, {})


@blueprint.get("/metrics")
@public
def metrics() -> Response:
    """Summarize for people what the server has done since its start, over all workers.

    Returns:
    - 200
    """
    slots = current_services().slots
    totals = slots.totals()
    started = time.time() - _uptime()
    answer = {
        "total_emails": totals.messages,
        "total_bytes": totals.bytes,
        "last_received": _time(totals.last_received_ms / 1000) if totals.messages else None,
        "uptime_seconds": _uptime(),
        "start_time": _time(started),
        "total_timeouts": totals.timeouts,
        "active_requests": slots.in_flight(),
        "shutting_down": slots.draining,
    }
    return _json(_TOTALS_SCHEMA, answer)


@blueprint.get("/openapi.json")
@public
def openapi() -> Response:
    """Describe the API in OpenAPI 3.1: openapi.yaml beside this file, which tools/pages.py writes.

    Returns:
    - 200
    """
    return Response(_description(), content_type="application/json")


@cache
def _description() -> str:
    text = (files("app.web") / "openapi.yaml").read_text(encoding="utf-8")
    return json.dumps(yaml.safe_load(text))


def _uptime() -> float:
    return round(time.monotonic() - current_services().started_at, 3)


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _json(schema: Schema, answer: Mapping[str, object], status: int = 200) -> Response:
    document = json.dumps(schema.dump(answer))
    return Response(document, status=status, content_type="application/json")


def _reason(error: StorageUnavailable) -> str:
    cause = error.__cause__
    reason = cause.strerror if isinstance(cause, OSError) else None  # never the path
    return f"The store can't be written to: {reason or 'the log has the reason'}"
