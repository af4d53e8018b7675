"""Group commit: what several threads want committed is committed together.

A thread that arrives while no commit is running becomes the leader and commits at once. Threads
that arrive meanwhile wait, and the first of them leads the next commit, for all of them. So a
single message is never delayed, and many messages share the cost of one sync. (DeWitt et al.,
"Implementation Techniques for Main Memory Database Systems", 1984, section 5.2.)
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Work = TypeVar("Work")


class _Place(Generic[Work]):
    """A thread's place in the queue; `news` is released when its work is done or it is to lead."""

    __slots__ = ("error", "is_done", "news", "work")

    def __init__(self, work: Work) -> None:
        self.work = work
        self.is_done = False
        self.error: BaseException | None = None
        self.news = threading.Lock()
        self.news.acquire()


class GroupCommit(Generic[Work]):
    """The queue of one process."""

    def __init__(self, commit: Callable[[Sequence[Work]], None], most: int) -> None:
        """`commit` makes up to `most` pieces of work durable; it never runs twice at a time."""
        self._commit = commit
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Place[Work]] = []
        self._has_leader = False

    def add(self, work: Work) -> None:
        """Return when `commit` has returned for a group that contained `work`.

        If it raised, raise RuntimeError from its exception.
        """
        place = _Place(work)
        with self._lock:
            self._waiting.append(place)
            leads, self._has_leader = not self._has_leader, True
        if not leads:
            place.news.acquire()  # now this work is committed, or this thread is the leader
        if not place.is_done:
            self._lead()
        if place.error is not None:
            raise RuntimeError("The group's commit has failed.") from place.error

    def _lead(self) -> None:
        with self._lock:
            group, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        error: BaseException | None = None
        try:
            self._commit([place.work for place in group])
        except BaseException as caught:  # noqa: BLE001 -- every thread of the group must see it
            error = caught
        with self._lock:
            successor = self._waiting[0] if self._waiting else None
            self._has_leader = successor is not None
        for place in group:
            place.error, place.is_done = error, True
            place.news.release()
        if successor is not None:
            successor.news.release()
