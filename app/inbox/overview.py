"""The figures of the overview: messages an hour, what waits for endpoints, and the disk."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from app.storage.delivery import Figure, State
from app.storage.interface import MessageStore, Query

HOURS = 24


@dataclass(frozen=True)
class Hour:
    """How many messages were received in the hour that begins at `since`."""

    since: datetime
    until: datetime
    count: int


@dataclass(frozen=True)
class Disk:
    """The disk that holds the messages, in bytes."""

    free: int
    total: int


@dataclass(frozen=True)
class Overview:
    """The figures at one moment; `size` in bytes, `hours` oldest first, the last one not over.

    `oldest_pending_at` is None without pending deliveries. `disk` is None if it can't be asked.
    """

    messages: int
    size: int
    hours: Sequence[Hour]
    pending: int
    oldest_pending_at: datetime | None
    dead: int
    disk: Disk | None

    @property
    def busiest(self) -> int:
        """The largest number of messages in an hour."""
        return max(hour.count for hour in self.hours)

    @property
    def recent(self) -> int:
        """The number of messages in all of these hours."""
        return sum(hour.count for hour in self.hours)


def overview(store: MessageStore, data_dir: Path, now: datetime) -> Overview:
    """Return the figures; raises StorageUnavailable."""
    statistics = store.statistics()
    figures = store.deliveries.figures()
    pending = [each for each in figures if each.state is State.PENDING]
    return Overview(
        messages=statistics.messages,
        size=statistics.bytes,
        hours=_hours(store, now),
        pending=_sum(pending),
        oldest_pending_at=min((each.oldest_created_at for each in pending), default=None),
        dead=_sum([each for each in figures if each.state is State.DEAD]),
        disk=_disk(data_dir),
    )


def _hours(store: MessageStore, now: datetime) -> Sequence[Hour]:
    current = now.replace(minute=0, second=0, microsecond=0)
    hours = []
    for ago in range(HOURS - 1, -1, -1):
        since = current - timedelta(hours=ago)
        until = since + timedelta(hours=1)
        hours.append(Hour(since, until, store.count(Query(since=since, until=until))))
    return hours


def _sum(figures: Sequence[Figure]) -> int:
    return sum(each.count for each in figures)


def _disk(data_dir: Path) -> Disk | None:
    try:
        usage = shutil.disk_usage(data_dir)
    except OSError:
        return None
    return Disk(usage.free, usage.total)
