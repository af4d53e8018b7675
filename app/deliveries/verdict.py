"""Decides what the end of an attempt means for its delivery."""

from collections.abc import Callable
from datetime import datetime, timedelta

from app.deliveries.outcome import Outcome
from app.deliveries.schedule import next_delay
from app.deliveries.workers import Sent
from app.errors import MessageCorrupt, MessageNotFound, MessageUnreadable, StorageUnavailable
from app.storage.delivery import Attempt, Claim, Result, State

EXHAUSTED = "exhausted"
MESSAGE_DELETED = "message_deleted"
MESSAGE_CORRUPT = "message_corrupt"
MESSAGE_UNREADABLE = "message_unreadable"
INTERNAL_ERROR = "internal_error"

STORE_PAUSE = timedelta(seconds=5)


def verdict(claim: Claim, sent: Sent, now: datetime, random: Callable[[], float]) -> Result:
    """Return the result of a request that has ended; `random` as in next_delay."""
    outcome = sent.outcome
    if isinstance(outcome, Outcome):
        return _after_attempt(claim, outcome, now, random)
    if isinstance(outcome, StorageUnavailable):
        return _not_sent(claim, State.PENDING, now + STORE_PAUSE, MESSAGE_UNREADABLE)
    if isinstance(outcome, MessageNotFound):
        return _not_sent(claim, State.DISCARDED, None, MESSAGE_DELETED)
    if isinstance(outcome, MessageCorrupt):
        return _not_sent(claim, State.DEAD, None, MESSAGE_CORRUPT)
    delay = _delay_after(claim, None, random)
    if isinstance(outcome, MessageUnreadable):
        # It may be readable again after a repair. So it isn't dead at once, but it isn't pending
        # for ever either: an endpoint that gets its messages in order would never get the next.
        attempt = _attempt_without_request(sent, str(outcome))
        return _failed(claim, attempt, MESSAGE_UNREADABLE, now, delay)
    attempt = _attempt_without_request(sent, "A bug in GoMail; see its log.")
    return _failed(claim, attempt, INTERNAL_ERROR, now, delay)


def released(claim: Claim, due_at: datetime | None = None) -> Result:
    """Return the result of a claim that was not used; due at `due_at`, or when it was before."""
    return _not_sent(claim, State.PENDING, due_at, None)


def _attempt_without_request(sent: Sent, text: str) -> Attempt:
    return Attempt(sent.at, None, None, round(sent.seconds * 1000), text, b"")


def _delay_after(
    claim: Claim, retry_after: float | None, random: Callable[[], float]
) -> timedelta | None:
    """Return the delay after one more attempt; see next_delay."""
    return next_delay(claim.delivery.attempts + 1, retry_after, random)


def _after_attempt(
    claim: Claim, outcome: Outcome, now: datetime, random: Callable[[], float]
) -> Result:
    if outcome.reason is None:
        return Result(claim, State.DELIVERED, None, True, outcome.attempt, None)
    delay = _delay_after(claim, outcome.retry_after_s, random)
    return _failed(claim, outcome.attempt, str(outcome.reason), now, delay)


def _failed(
    claim: Claim, attempt: Attempt, reason: str, now: datetime, delay: timedelta | None
) -> Result:
    if delay is None:
        return Result(claim, State.DEAD, None, True, attempt, EXHAUSTED)
    return Result(claim, State.PENDING, now + delay, True, attempt, reason)


def _not_sent(claim: Claim, state: State, due_at: datetime | None, reason: str | None) -> Result:
    return Result(claim, state, due_at, False, None, reason)
