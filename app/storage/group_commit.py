"""Group commit: what several threads want committed is committed together.

Whoever comes while nobody commits is the leader, commits at once, and alone if it is alone. Those
who come meanwhile wait, and the first of them leads the next commit for all of them. So a single
message is never delayed, and many share the price of a sync. (DeWitt et al., "Implementation
Techniques for Main Memory Database Systems", 1984, section 5.2.)
"""

import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Work = TypeVar("Work")


class _Place(Generic[Work]):
    """A thread's place in the queue; its lock is released when there is news for it."""

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
        """Return when `commit` has returned for a group that `work` was part of.

        When it has raised, raise RuntimeError from that.
        """
        place = _Place(work)
        with self._lock:
            self._waiting.append(place)
            leads, self._has_leader = not self._has_leader, True
        if not leads:
            place.news.acquire()  # either somebody has committed this, or it leads now
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
        except BaseException as caught:  # noqa: BLE001 -- each of the group has to know
            error = caught
        with self._lock:
            successor = self._waiting[0] if self._waiting else None
            self._has_leader = successor is not None
        for place in group:
            place.error, place.is_done = error, True
            place.news.release()
        if successor is not None:
            successor.news.release()
