"""Requests that keep coming while something happens to a server."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def traffic(
    senders: Sequence[Callable[[], int | None]], pause_seconds: float = 0
) -> Iterator[list[int]]:
    """Call each of `senders` in a thread of its own, again and again.

    Yields the list of the statuses so far that they return; None, for no answer, isn't in it.
    """
    statuses: list[int] = []
    done = threading.Event()

    def keep_sending(send: Callable[[], int | None]) -> None:
        while not done.wait(pause_seconds):
            status = send()
            if status is not None:
                statuses.append(status)

    threads = [threading.Thread(target=keep_sending, args=[send]) for send in senders]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        done.set()
        for thread in threads:
            thread.join()
