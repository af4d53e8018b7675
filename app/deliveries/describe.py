"""Turns deliveries and endpoints into the JSON objects of app.deliveries.schemas."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.deliveries.advice import advice
from app.deliveries.delivery_id import delivery_id
from app.deliveries.endpoint_status import EndpointStatus
from app.deliveries.outcome import Outcome
from app.deliveries.schemas import (
    DeliverySchema,
    DeliverySummarySchema,
    EndpointSchema,
    EndpointTestSchema,
)
from app.deliveries.signing import webhook_id
from app.settings.webhook_url import shown_url
from app.storage.delivery import Attempt, Delivery

_DELIVERY = DeliverySchema()
_SUMMARY = DeliverySummarySchema()
_ENDPOINT = EndpointSchema()
_TEST = EndpointTestSchema()


def describe_delivery(delivery: Delivery, attempts: Sequence[Attempt]) -> dict[str, Any]:
    """Return the object for a delivery with its attempts, ready for json.dumps."""
    members = _members(delivery) | {"attempts": list(map(_attempt, attempts))}
    described: dict[str, Any] = _DELIVERY.dump(members)
    return described


def summarize_delivery(delivery: Delivery, cursor: str) -> dict[str, Any]:
    """Return the object for a delivery in a list, ready for json.dumps."""
    summary: dict[str, Any] = _SUMMARY.dump(_members(delivery) | {"cursor": cursor})
    return summary


def describe_endpoint(status: EndpointStatus) -> dict[str, Any]:
    """Return the object for an endpoint, ready for json.dumps."""
    configured = status.endpoint
    members = vars(status) | {
        "url": shown_url(configured.url) if configured else None,
        "recipients": configured.recipients if configured else (),
        "format": configured.format if configured else None,
        "deliveries": {str(state): count for state, count in status.counts.items()},
    }
    described: dict[str, Any] = _ENDPOINT.dump(members)
    return described


def describe_test(outcome: Outcome) -> dict[str, Any]:
    """Return the object for the result of a test, ready for json.dumps."""
    members = {
        "delivered": outcome.reason is None,
        "reason": outcome.reason,
        "advice": advice(outcome),
        "attempt": _attempt(outcome.attempt),
    }
    described: dict[str, Any] = _TEST.dump(members)
    return described


def _members(delivery: Delivery) -> dict[str, Any]:
    return vars(delivery) | {
        "id": delivery_id(delivery.number),
        "webhook_id": webhook_id(delivery.message_id),
        "attempt_count": delivery.attempts,
        "next_attempt_at": delivery.due_at,
    }


def _attempt(attempt: Attempt) -> Mapping[str, Any]:
    return vars(attempt) | {"answer": attempt.answer.decode("utf-8", "replace")}
