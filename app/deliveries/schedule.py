"""The schedule of retries."""

from collections.abc import Callable
from datetime import timedelta

_MINUTE, _HOUR = 60, 3600

DELAYS = (
    *(5, 30, 2 * _MINUTE, 10 * _MINUTE, 30 * _MINUTE),
    *(1 * _HOUR, 2 * _HOUR, 4 * _HOUR, 6 * _HOUR, 12 * _HOUR),
    *(24 * _HOUR, 24 * _HOUR, 24 * _HOUR, 24 * _HOUR),
)
"""Seconds after the first attempt, the second, and so on."""
MOST_ATTEMPTS = len(DELAYS) + 1
JITTER = 0.2
SHORTEST_SURPLUS_SECONDS = 30
LONGEST_SURPLUS_SECONDS = 5 * _MINUTE
MOST_RETRY_AFTER = 24 * _HOUR


def next_delay(
    attempts: int, retry_after: float | None, random: Callable[[], float]
) -> timedelta | None:
    """Return the delay in seconds after `attempts`, 1 or more; None when they are exhausted.

    It is at least `retry_after`, up to MOST_RETRY_AFTER. `random` returns a number from 0 up to 1,
    which spreads the retries of deliveries that failed at the same time.
    """
    if attempts >= MOST_ATTEMPTS:
        return None
    floor = min(retry_after or 0, MOST_RETRY_AFTER)
    seconds = max(DELAYS[attempts - 1], floor) * (1 + JITTER * random())
    return timedelta(seconds=seconds)


def surplus_pause(attempts: int) -> timedelta:
    """Return how much longer a retry waits that is due after `attempts`, but gets no thread soon.

    It is a tenth of its delay, within limits: thousands of retries must not be claimed in vain all
    the time, and one that has waited for an hour can wait for a few more minutes.
    """
    seconds = DELAYS[attempts - 1] / 10
    limited = min(max(seconds, SHORTEST_SURPLUS_SECONDS), LONGEST_SURPLUS_SECONDS)
    return timedelta(seconds=limited)
