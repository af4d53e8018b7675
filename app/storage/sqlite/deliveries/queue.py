"""The queue of deliveries in gomail.db.

Commits aren't synced here: a power cut may undo the last ones, and messages are then delivered
again. The endpoints of a message are in its record, which is synced. Settled deliveries and pauses
are also noted outside the database, in case it is lost.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from app.state.lock_file import LockFile
from app.storage.delivery import (
    Attempt,
    Claim,
    Delivery,
    DeliveryPage,
    DeliveryQuery,
    Figure,
    OpenBreaker,
    Replay,
    Result,
)
from app.storage.ids import milliseconds_since_epoch
from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS
from app.storage.sqlite.deliveries import claims, clamping, decisions, finding, replaying
from app.storage.sqlite.deliveries.attempts import forget_some
from app.storage.sqlite.deliveries.pauses import keep_pauses
from app.storage.sqlite.deliveries.rows import chosen
from app.storage.sqlite.deliveries.settlement_files import Settlement, SettlementWriter
from app.storage.sqlite.deliveries.settlements import (
    forget_settlements,
    settlements_in,
    settlements_of,
)
from app.storage.sqlite.failures import failures_as_unavailable
from app.storage.sqlite.numbers import next_numbers

_SHORT_PAUSE_SECONDS = 0.02


@dataclass(frozen=True)
class _Writing:
    """A transaction of a writer that holds the lock."""

    connection: Connection
    lock: LockFile

    def new_numbers(self, count: int) -> Sequence[int]:
        """Return numbers that were never used."""
        return next_numbers(self.lock, self.connection, count)


class SQLiteDeliveries:
    """The queue of one process; see DeliveryQueue."""

    def __init__(
        self,
        engine: Engine,
        lock_file: Path,
        settlements: Path,
        note_commit: Callable[[], None],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Write under the lock of `lock_file`, and call `note_commit` after commits, one at a time.

        `settlements` is the directory for settled deliveries and pauses.
        """
        self._engine = engine
        self._lock_file = lock_file
        self._note_commit = note_commit
        self._clock = clock
        self._settlements = SettlementWriter(settlements)
        self._one_at_a_time = threading.Lock()

    def claim(  # noqa: PLR0913 -- see DeliveryQueue.claim
        self,
        endpoint: str,
        limit: int,
        now: datetime,
        until: datetime,
        *,
        replays: bool,
        in_order: bool,
    ) -> list[Claim]:
        """See DeliveryQueue.claim."""
        with self._reading() as connection:  # without the lock, since writers wait for it
            if not claims.is_due(connection, endpoint, now, replays=replays, in_order=in_order):
                return []
        with self._writing() as writing:
            self._note_decided(writing, claims.bury(writing.connection, endpoint, now), now)
            return claims.claim(
                writing.connection, endpoint, limit, now, until, replays=replays, in_order=in_order
            )

    def renew(self, claimed: Sequence[Claim], until: datetime) -> list[Claim]:
        """See DeliveryQueue.renew."""
        with self._writing() as writing:
            return claims.renew(writing.connection, claimed, until)

    def forgive(self, claimed: Sequence[Claim]) -> None:
        """See DeliveryQueue.forgive."""
        with self._writing() as writing:
            claims.forgive(writing.connection, claimed)

    def finish(self, results: Sequence[Result]) -> int:
        """See DeliveryQueue.finish."""
        now = self._clock()
        with self._writing() as writing:
            kept = claims.finish(writing.connection, results, now)
            self._note(writing, settlements_of(kept, now))
            return len(kept)

    def next_due(self, endpoints: Collection[str]) -> Mapping[str, datetime]:
        """See DeliveryQueue.next_due."""
        with self._reading() as connection:
            return claims.next_due(connection, endpoints)

    def clamp_times(self, endpoints: Collection[str], now: datetime) -> int:
        """See DeliveryQueue.clamp_times."""
        with self._reading() as connection:  # without the lock, since there is usually nothing
            found = clamping.far_ahead(connection, endpoints, now)
        if not found:
            return 0
        with self._writing() as writing:
            return clamping.clamp(writing.connection, found, now)

    def figures(self) -> Sequence[Figure]:
        """See DeliveryQueue.figures."""
        with self._reading() as connection:
            return finding.figures(connection)

    def find(self, query: DeliveryQuery) -> DeliveryPage:
        """See DeliveryQueue.find."""
        with self._reading() as connection:
            return finding.find(connection, query)

    def get(self, number: int) -> tuple[Delivery, Sequence[Attempt]]:
        """See DeliveryQueue.get."""
        with self._reading() as connection:
            return finding.get(connection, number)

    def retry(self, numbers: Sequence[int], now: datetime) -> list[int]:
        """See DeliveryQueue.retry."""
        with self._writing() as writing:
            return self._note_decided(
                writing, decisions.retry(writing.connection, numbers, now), now
            )

    def discard(self, numbers: Sequence[int]) -> list[int]:
        """See DeliveryQueue.discard."""
        with self._writing() as writing:
            now = self._clock()
            return self._note_decided(
                writing, decisions.discard(writing.connection, numbers, now), now
            )

    def pause(self, endpoint: str, reason: str) -> None:
        """See DeliveryQueue.pause."""
        with self._writing() as writing:
            decisions.pause(writing.connection, endpoint, reason)
            self._keep_pauses(writing)

    def resume(self, endpoint: str) -> None:
        """See DeliveryQueue.resume."""
        with self._writing() as writing:
            decisions.resume(writing.connection, endpoint)
            self._keep_pauses(writing)

    def paused(self) -> Mapping[str, str]:
        """See DeliveryQueue.paused."""
        with self._reading() as connection:
            return decisions.paused(connection)

    def open_breaker(self, endpoint: str, reason: str, at: datetime) -> None:
        """See DeliveryQueue.open_breaker."""
        with self._writing() as writing:
            decisions.open_breaker(writing.connection, endpoint, reason, at)

    def close_breaker(self, endpoint: str) -> None:
        """See DeliveryQueue.close_breaker."""
        if endpoint in self.open_breakers():  # without the lock, since writers wait for it
            with self._writing() as writing:
                decisions.close_breaker(writing.connection, endpoint)

    def open_breakers(self) -> Mapping[str, OpenBreaker]:
        """See DeliveryQueue.open_breakers."""
        with self._reading() as connection:
            return decisions.open_breakers(connection)

    def add_replay(self, replay: Replay) -> int:
        """See DeliveryQueue.add_replay."""
        with self._writing() as writing:
            return replaying.add_replay(writing.connection, replay)

    def replays(self) -> Sequence[Replay]:
        """See DeliveryQueue.replays."""
        with self._reading() as connection:
            return replaying.replays(connection)

    def advance_replay(self, number: int, most: int, now: datetime) -> int:
        """See DeliveryQueue.advance_replay."""
        with self._writing() as writing:
            return replaying.advance_replay(
                writing.connection, number, most, now, writing.new_numbers
            )

    def forget_attempts(self, before: datetime) -> None:
        """See DeliveryQueue.forget_attempts."""
        before_ms, now_ms = map(milliseconds_since_epoch, (before, self._clock()))
        last: int | None = 0
        while last is not None:
            with self._writing() as writing:
                last = forget_some(writing.connection, before_ms, now_ms, last)
            time.sleep(_SHORT_PAUSE_SECONDS)  # others wait for the lock

    def forget_settlements(self) -> None:
        """Remove files whose messages have all been deleted."""
        with failures_as_unavailable():
            forget_settlements(self._engine, self._settlements.directory)

    def close(self) -> None:
        """Release files."""
        self._settlements.close()

    def _keep_pauses(self, writing: _Writing) -> None:
        keep_pauses(self._settlements.directory, decisions.paused(writing.connection))

    def _note_decided(self, writing: _Writing, numbers: Sequence[int], now: datetime) -> list[int]:
        if numbers:
            self._note(writing, settlements_in(chosen(writing.connection, numbers), now))
        return list(numbers)

    def _note(self, writing: _Writing, settled: Sequence[Settlement]) -> None:
        if settled:
            [number] = writing.new_numbers(1)
            self._settlements.append(number, settled)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with failures_as_unavailable(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[_Writing]:
        with failures_as_unavailable(), self._one_at_a_time:
            lock = LockFile(self._lock_file, BUSY_TIMEOUT_SECONDS)
            try:
                with closing(lock), lock.held(), self._engine.begin() as connection:
                    yield _Writing(connection, lock)
            except (OSError, SQLAlchemyError):
                self._engine.dispose()  # as in app.storage.sqlite.writer
                self._settlements.close()
                raise
            self._note_commit()
