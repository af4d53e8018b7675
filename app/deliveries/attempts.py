"""Logs and counts attempts."""

import logging

from app.deliveries.breaker import BreakerState
from app.deliveries.delivery_id import delivery_id
from app.deliveries.lane import Lane
from app.deliveries.outcome import Outcome
from app.deliveries.workers import Sent
from app.errors import GoMailError
from app.metrics.delivery_recorder import DeliveryRecorder
from app.storage.delivery import Result, State

_log = logging.getLogger("gomail")


class AttemptLog:
    """Writes log lines and metrics for one dispatcher; no line contains a mail address."""

    def __init__(self, recorder: DeliveryRecorder | None) -> None:
        self._recorder = recorder

    def note(self, sent: Sent, result: Result) -> None:
        """Log a request that has ended with `result`."""
        outcome = sent.outcome
        if isinstance(outcome, Outcome):
            self._note_attempt(sent, outcome, result)
        elif isinstance(outcome, GoMailError):
            detail = str(outcome.__cause__ or outcome)  # the cause has the errno and the path
            _log_attempt(result, "not_sent", detail)
        else:
            _log_attempt(result, "failed", "a bug in GoMail", outcome)

    def note_breaker(self, lane: Lane, before: BreakerState) -> None:
        """Record the breaker's state after an attempt, and log a change from `before`."""
        is_open = lane.breaker.state is BreakerState.OPEN
        if (
            self._recorder
        ):  # each time: a predecessor that is finishing may have recorded another state
            self._recorder.breaker(lane.name, is_open=is_open)
        if lane.breaker.state is before:
            return
        if is_open:
            _log.warning(
                "Endpoint %s keeps failing, and gets only probes until one succeeds",
                lane.name,
            )
        else:
            _log.info("Endpoint %s answers again", lane.name)

    def note_pause(self, lane: Lane) -> None:
        """Log that the endpoint was paused because it has answered 410."""
        _log.warning(
            "Endpoint %s has answered 410 (Gone) and is paused until it is resumed:"
            " `flask gomail endpoints resume %s`",
            lane.name,
            lane.name,
        )

    def _note_attempt(self, sent: Sent, outcome: Outcome, result: Result) -> None:
        _log_attempt(result, outcome.kind, outcome.attempt.error)
        if self._recorder:
            seconds = outcome.attempt.duration_ms / 1000
            self._recorder.attempt(sent.request.lane.name, outcome.kind, seconds)


def _log_attempt(
    result: Result, outcome: str, detail: str | None, fault: Exception | None = None
) -> None:
    delivery = result.claim.delivery
    members = {
        "endpoint": delivery.endpoint,
        "message_id": delivery.message_id,
        "delivery": delivery_id(delivery.number),
        "attempt": delivery.attempts + 1,
        "outcome": outcome,
        "reason": result.reason,
        "state": result.state,
        "status": result.attempt.status if result.attempt else None,
        "duration_ms": result.attempt.duration_ms if result.attempt else None,
        "detail": detail,
    }
    level = logging.INFO if result.state is State.DELIVERED else logging.WARNING
    _log.log(
        logging.ERROR if fault else level,
        "Delivery to %s: %s",
        delivery.endpoint,
        outcome,
        extra=members,
        exc_info=fault,
    )
