"""Limits how many threads do something at the same time."""

from queue import SimpleQueue


class Turns:
    """A context manager in which there are at most `at_once` threads; others wait.

    Like threading.Semaphore, which takes 14 calls for each turn instead of four.
    """

    def __init__(self, at_once: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(at_once):
            self._free.put(None)

    def __enter__(self) -> None:
        self._free.get()

    def __exit__(self, *_: object) -> None:
        self._free.put(None)
