"""What a call costs a processor, whatever else the test's process and the machine do."""

import sys
import timeit
from collections.abc import Callable
from time import thread_time

TRIES = 3
_TEXT = "a text that is as good as any other " * 3_000


def processor_seconds(action: Callable[[], object], bound: float) -> float:
    """Return the processor time of `action` in this thread, the least of up to three tries.

    They end with the first one below `bound`. Neither coverage, which makes calls ten times slower,
    nor the collection of what other tests left behind is the product's time. Nor is it that others
    on the machine share the processor's units and caches: each try counts as what it would take
    at the speed that this process has had at its best.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        least = _unhurried_seconds(action)
        for _ in range(TRIES - 1):
            if least >= bound:
                least = min(least, _unhurried_seconds(action))
        return least
    finally:
        sys.settrace(tracer)


def _unhurried_seconds(action: Callable[[], object]) -> float:
    before = _reference_seconds()
    seconds = _seconds(action)
    return seconds * _best / max(_best, min(before, _reference_seconds()))


def _reference_seconds() -> float:
    """Return what some work takes now that always is the same, some 2 ms of it."""
    return min(_seconds(lambda: sum(map(ord, _TEXT))) for _ in range(2))


def _seconds(action: Callable[[], object]) -> float:
    return timeit.timeit(action, timer=thread_time, number=1)  # without collection


_best = min(_reference_seconds() for _ in range(20))
