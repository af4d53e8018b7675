"""Which worker accepts the next connection."""

import pytest
from support.clock import Clock

from app.server.gunicorn_internals.fair_share import (
    IN_VAIN_SECONDS,
    MOST_AHEAD,
    PAUSE_SECONDS,
    FairShare,
)
from app.state.slots import Slots

OTHERS = 3  # connections of the other worker


@pytest.fixture
def clock() -> Clock[float]:
    return Clock(1000.0)


@pytest.fixture
def slots() -> Slots:
    """Return slots of this worker, the first, and of another with OTHERS connections."""
    slots = Slots()
    own, other = slots.assign(), slots.assign()
    slots.bind(other)
    slots.note_busy(OTHERS)
    slots.bind(own)
    return slots


@pytest.fixture
def share(slots: Slots, clock: Clock[float]) -> FairShare:
    return FairShare(slots, clock)


def note_for_other(slots: Slots, busy: int | None) -> None:
    slots.bind(1)
    slots.note_busy(busy)
    slots.bind(0)


@pytest.mark.parametrize("busy", range(OTHERS + MOST_AHEAD + 1))
def test_a_worker_that_is_not_ahead_accepts(share: FairShare, busy: int) -> None:
    """With fewer than another one, as many, or few more."""
    share.note(busy)
    assert not share.leaves_next_to_others(busy)


def test_a_worker_that_is_ahead_pauses(share: FairShare, clock: Clock[float]) -> None:
    """For all connections that come meanwhile, on whichever socket; then it accepts."""
    busy = OTHERS + MOST_AHEAD + 1
    share.note(busy)
    assert share.leaves_next_to_others(busy)
    assert share.leaves_next_to_others(busy)
    assert 0 < share.pause_seconds <= PAUSE_SECONDS
    clock.now += PAUSE_SECONDS
    assert share.pause_seconds <= 0
    assert not share.leaves_next_to_others(busy)


def test_a_pause_in_vain_is_not_repeated_soon(share: FairShare, clock: Clock[float]) -> None:
    """A worker that is stopped, and has few connections, doesn't slow down the others."""
    busy = OTHERS + MOST_AHEAD + 1
    assert share.leaves_next_to_others(busy)
    clock.now += PAUSE_SECONDS
    for more in range(100):
        assert not share.leaves_next_to_others(busy + more)
    clock.now += IN_VAIN_SECONDS + PAUSE_SECONDS
    assert share.leaves_next_to_others(busy)


def test_a_pause_that_another_has_used_has_one(
    share: FairShare, slots: Slots, clock: Clock[float]
) -> None:
    """As long as the other one accepts, it gets the time to."""
    busy = OTHERS + 10
    for taken in range(1, 5):
        assert share.leaves_next_to_others(busy)
        note_for_other(slots, OTHERS + taken)
        clock.now += PAUSE_SECONDS


def test_a_pause_ends_when_the_worker_is_not_ahead_any_more(share: FairShare, slots: Slots) -> None:
    """It has finished some, or the other one has begun more."""
    busy = OTHERS + MOST_AHEAD + 1
    assert share.leaves_next_to_others(busy)
    share.note(busy)
    assert share.pause_seconds > 0
    note_for_other(slots, OTHERS + 1)
    share.note(busy)
    assert share.pause_seconds <= 0


def test_those_that_accept_nothing_are_not_waited_for(share: FairShare, slots: Slots) -> None:
    """A worker that ends has fewer and fewer; alone, a worker never pauses."""
    note_for_other(slots, None)
    share.note(1000)
    assert not share.leaves_next_to_others(1000)
    share.note(None)
    assert slots.fewest_busy() == 0
