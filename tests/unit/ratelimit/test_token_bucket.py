"""The arithmetic, compared with the token bucket as the textbooks have it."""

from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ratelimit.token_bucket import MINUTE_US, Decision, TokenBucket, token_bucket

HOUR_US = 60 * MINUTE_US
START_US = 5 * HOUR_US

buckets = st.builds(token_bucket, st.integers(1, 100_000), st.integers(1, 30))


@dataclass
class ClassicBucket:
    """`tokens` in a bucket of `burst`, refilled by one each `interval` as time goes by."""

    interval: int
    burst: int
    tokens: Fraction
    at: int

    def take(self, now: int) -> Decision:
        self.tokens = min(
            self.tokens + Fraction(now - self.at, self.interval), Fraction(self.burst)
        )
        self.at = now
        allowed = self.tokens >= 1
        missing = Fraction(0) if allowed else (1 - self.tokens) * self.interval
        self.tokens -= allowed
        full_after = (self.burst - self.tokens) * self.interval
        return Decision(allowed, int(self.tokens), int(missing), int(full_after))


def classic(bucket: TokenBucket) -> ClassicBucket:
    burst = bucket.capacity_us // bucket.interval_us
    return ClassicBucket(bucket.interval_us, burst, Fraction(burst), START_US)


def run(bucket: TokenBucket, times: list[int]) -> tuple[int, list[Decision]]:
    """Return the state after a request at each of `times`, and all decisions."""
    state, decisions = 0, []
    for time in times:
        state, decision = bucket.take(state, time)
        decisions.append(decision)
    return state, decisions


@st.composite
def traffic(draw: st.DrawFn, least_step: int = 0) -> tuple[TokenBucket, list[int]]:
    """Draw a bucket and the steps of its clock: dense, around one interval, and long pauses."""
    bucket = draw(buckets)
    interval = bucket.interval_us
    forward = st.one_of(
        st.just(0),
        st.integers(0, interval // 3),
        st.integers(interval - 1, interval + 1),
        st.integers(0, 2 * bucket.capacity_us),
    )
    back = st.integers(least_step, 0)
    return bucket, draw(st.lists(st.one_of(forward, back), max_size=120))


def times_of(steps: list[int]) -> list[int]:
    return list(accumulate(steps, initial=START_US))


@given(traffic())
def test_it_decides_as_the_classic_bucket(drawn: tuple[TokenBucket, list[int]]) -> None:
    """For any times: the same requests pass, and remaining, wait and time to full are the same."""
    bucket, steps = drawn
    reference = classic(bucket)
    times = times_of(steps)
    assert run(bucket, times)[1] == [reference.take(time) for time in times]


@given(traffic())
def test_the_wait_is_exact(drawn: tuple[TokenBucket, list[int]]) -> None:
    """After a denial a microsecond less than the wait is denied, and exactly the wait passes."""
    bucket, steps = drawn
    now = times_of(steps)[-1]
    state, _ = run(bucket, times_of(steps))
    denial = bucket.take(state, now)
    while denial[1].allowed:
        denial = bucket.take(denial[0], now)
    state, decision = denial
    assert 0 < decision.retry_after_us <= bucket.interval_us
    assert not bucket.take(state, now + decision.retry_after_us - 1)[1].allowed
    assert bucket.take(state, now + decision.retry_after_us)[1].allowed


@given(traffic())
def test_what_remains_would_pass(drawn: tuple[TokenBucket, list[int]]) -> None:
    """Exactly `remaining` more requests pass at the same moment; then the bucket is empty."""
    bucket, steps = drawn
    times = times_of(steps)
    state, decisions = run(bucket, times)
    passed = 0
    while bucket.take(state, times[-1])[1].allowed:
        state, _ = bucket.take(state, times[-1])
        passed += 1
    assert passed == decisions[-1].remaining


@given(traffic(least_step=-HOUR_US))
def test_no_window_holds_more_than_burst_and_refill(drawn: tuple[TokenBucket, list[int]]) -> None:
    """Between any two requests no more pass than burst + time / interval.

    Time that a clock shows twice, because it was set back, counts each time it goes by.
    """
    bucket, steps = drawn
    burst = bucket.capacity_us // bucket.interval_us
    passed = [decision.allowed for decision in run(bucket, times_of(steps))[1]]
    for first in range(len(passed)):
        count = elapsed = 0
        for last in range(first, len(passed)):
            count += passed[last]
            elapsed += max(steps[last - 1], 0) if last > first else 0
            assert count <= burst + Fraction(elapsed, bucket.interval_us)


@given(traffic(least_step=-HOUR_US))
def test_no_clock_locks_anybody_out(drawn: tuple[TokenBucket, list[int]]) -> None:
    """However the clock jumps, a request passes at once or within one interval."""
    bucket, steps = drawn
    times = times_of(steps)
    state, decisions = run(bucket, times)
    wait = decisions[-1].retry_after_us
    assert wait <= bucket.interval_us
    if wait:
        assert bucket.take(state, times[-1] + wait)[1].allowed


@pytest.mark.parametrize("spent", [1, 9, 10])
def test_a_clock_set_back_an_hour_changes_little(spent: int) -> None:
    """Whatever was spent, one interval later a request passes, and no second one with it."""
    bucket = token_bucket(60, 10)
    state, _ = run(bucket, [START_US] * spent + [START_US - HOUR_US])
    later = START_US - HOUR_US + bucket.interval_us
    state, first = bucket.take(state, later)
    _, second = bucket.take(state, later)
    assert (first.allowed, second.allowed) == (True, False)


def test_the_defaults_are_ten_at_once_then_one_a_second() -> None:
    """60 a minute with a burst of 10, in the numbers that an operator expects."""
    bucket = token_bucket(60, 10)
    _, decisions = run(bucket, [START_US] * 11 + [START_US + 999_999, START_US + 1_000_000])
    assert [decision.allowed for decision in decisions] == [True] * 10 + [False, False, True]
    assert decisions[0] == Decision(True, 9, 0, 1_000_000)
    assert decisions[10] == Decision(False, 0, 1_000_000, 10_000_000)
    assert decisions[11] == Decision(False, 0, 1, 9_000_001)


@given(st.integers(1, 1_000_000), st.integers(1, 1_000_000))
def test_rounding_never_gives_more(per_minute: int, burst: int) -> None:
    """A rate that doesn't divide a minute is rounded to a longer interval, by a microsecond."""
    bucket = token_bucket(per_minute, burst)
    assert MINUTE_US <= bucket.interval_us * per_minute < MINUTE_US + per_minute
    assert bucket.capacity_us == burst * bucket.interval_us
