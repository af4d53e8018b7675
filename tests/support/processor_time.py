"""What a call costs a processor, whatever else the test's process and the machine do."""

import sys
import timeit
from collections.abc import Callable
from time import thread_time


def processor_seconds(action: Callable[[], object]) -> float:
    """Return the processor time that `action` takes in this thread.

    Neither coverage, which makes calls ten times slower, nor the collection of what other
    tests left behind is the product's time.
    """
    tracer = sys.gettrace()
    sys.settrace(None)
    try:
        return timeit.timeit(action, timer=thread_time, number=1)  # without collection
    finally:
        sys.settrace(tracer)
