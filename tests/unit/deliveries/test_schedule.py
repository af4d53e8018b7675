from datetime import timedelta

import pytest

from app.deliveries.schedule import MOST_ATTEMPTS, next_delay, surplus_pause

HOUR = 3600
DAY = 24 * HOUR
CONTRACT = [5, 30, 120, 600, 1800, HOUR, 2 * HOUR, 4 * HOUR, 6 * HOUR, 12 * HOUR, *[DAY] * 4]


def seconds(attempts: int, retry_after: float | None = None, drawn: float = 0) -> float | None:
    """Return the delay in seconds, None when there is none."""
    delay = next_delay(attempts, retry_after, lambda: drawn)
    return None if delay is None else delay / timedelta(seconds=1)


def test_the_delays_are_those_of_the_contract() -> None:
    """15 attempts in five days, and then no more."""
    assert [seconds(attempts) for attempts in range(1, 15)] == CONTRACT
    assert MOST_ATTEMPTS == 15
    assert 5 * DAY < sum(CONTRACT) < 5.2 * DAY
    assert [seconds(attempts) for attempts in (15, 16, 99)] == [None] * 3


@pytest.mark.parametrize("attempts", [1, 7, 14])
def test_what_failed_together_is_not_tried_again_together(attempts: int) -> None:
    """Up to 20 % are added, by chance."""
    base = CONTRACT[attempts - 1]
    assert seconds(attempts, drawn=0.5) == pytest.approx(base * 1.1)
    assert seconds(attempts, drawn=0.9999) == pytest.approx(base * 1.2, rel=0.001)


@pytest.mark.parametrize(
    ("retry_after", "expected"), [(0, 5), (4, 5), (60, 60), (DAY, DAY), (365 * DAY, DAY)]
)
def test_retry_after_is_a_floor(retry_after: float, expected: float) -> None:
    """It never brings an attempt forward, and never puts it off for more than a day."""
    assert seconds(1, retry_after) == expected
    assert seconds(11, retry_after) == DAY
    assert seconds(1, retry_after, drawn=0.5) == pytest.approx(expected * 1.1)


def test_retry_after_prolongs_nothing_for_ever() -> None:
    """After the last attempt there is none, whatever the endpoint asks for."""
    assert seconds(15, retry_after=60) is None


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 30), (3, 30), (4, 60), (5, 180), (14, 300)])
def test_retries_without_a_thread_wait_a_little_longer(attempts: int, seconds: int) -> None:
    """The longer they have waited, the longer, but at most five minutes."""
    assert surplus_pause(attempts) == timedelta(seconds=seconds)
