"""Chooses the CPU that a worker is pinned to.

Python's threads take turns, and passing the turn to a thread on another CPU means waking it: that
costs a tenth of a request. So when the workers divide evenly among the CPUs, each is pinned to one.
Otherwise the kernel chooses: either some workers would get less CPU time than others, or the
machine has other work to do and the workers must make room.
"""

import os
from collections import Counter
from collections.abc import Iterable


def own_processor(others: Iterable[int | None], workers: int) -> int | None:
    """Return the CPU that the fewest of the `others` are pinned to; None for any CPU.

    `others` are the CPUs of the existing workers, `workers` is how many there should be.
    """
    usable = sorted(os.sched_getaffinity(0))
    if workers % len(usable):
        return None
    taken = Counter(others)
    return min(usable, key=lambda number: taken[number])
