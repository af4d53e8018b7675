"""What is said after a test of an endpoint that failed."""

from datetime import UTC, datetime

import pytest

from app.deliveries.advice import advice
from app.deliveries.outcome import Outcome, Reason
from app.storage.delivery import Attempt

AT = datetime(2026, 3, 1, tzinfo=UTC)


def outcome(reason: Reason | None, status: int | None = None) -> Outcome:
    """Return the end of an attempt."""
    return Outcome(reason, Attempt(AT, "192.0.2.1", status, 5, None, b""))


@pytest.mark.parametrize("reason", Reason)
def test_each_reason_has_an_advice(reason: Reason) -> None:
    """One line that says what to look at."""
    text = advice(outcome(reason, 418))
    assert text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("status", "words"),
    [(400, "secret"), (401, "secret"), (403, "secret"), (404, "path"), (405, "path"), (422, "log")],
)
def test_a_refusal_is_told_by_its_status(status: int, words: str) -> None:
    """A wrong secret, a wrong path, or what only the application knows."""
    assert words in str(advice(outcome(Reason.REFUSED, status)))


def test_there_is_nothing_to_say_of_success() -> None:
    """Nor anything to do."""
    assert advice(outcome(None, 200)) is None
