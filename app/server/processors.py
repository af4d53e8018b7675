"""Which processor a worker stays on.

Python's threads take turns, and a turn that passes to another processor has to wake it: that costs
a worker a tenth of what a request takes. When each processor can have the same number of workers,
each worker therefore stays on one. Otherwise the kernel chooses: some would have less than others,
or the machine is meant for more than this, and they have to make room.
"""

import os
from collections import Counter
from collections.abc import Iterable


def own_processor(others: Iterable[int | None], workers: int) -> int | None:
    """Return the processor that the fewest of the `others` stay on; None when it may be any.

    `others` are those of the workers there are, `workers` is how many there should be.
    """
    usable = sorted(os.sched_getaffinity(0))
    if workers % len(usable):
        return None
    taken = Counter(others)
    return min(usable, key=lambda number: taken[number])
