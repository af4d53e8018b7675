"""The queue of deliveries in PostgreSQL, for the processes of all hosts."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Connection

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
from app.storage.postgresql.connections import Connections
from app.storage.postgresql.deliveries import (
    claims,
    clamping,
    decisions,
    finding,
    replaying,
    results,
)
from app.storage.postgresql.deliveries.attempts import forget_some
from app.storage.postgresql.deliveries.figures import counts, merge_counts
from app.storage.postgresql.deliveries.passing_over import passing_over
from app.storage.postgresql.failures import failures_as_unavailable

MANY_COUNT_ROWS = 1000


class PostgreSQLDeliveries:
    """See DeliveryQueue."""

    def __init__(
        self, connections: Connections, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._connections = connections
        self._clock = clock

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
        with self._reading() as connection:  # first, since there is often nothing
            if not claims.is_due(connection, endpoint, now, replays=replays, in_order=in_order):
                return []

        def claimed() -> list[Claim]:
            with self._noting() as connection:
                return claims.claim(
                    connection, endpoint, limit, now, until, replays=replays, in_order=in_order
                )

        return passing_over(claimed)

    def renew(self, claimed: Sequence[Claim], until: datetime) -> list[Claim]:
        """See DeliveryQueue.renew."""
        with self._noting() as connection:
            return results.renew(connection, claimed, until)

    def forgive(self, claimed: Sequence[Claim]) -> None:
        """See DeliveryQueue.forgive."""
        with self._noting() as connection:
            results.forgive(connection, claimed)

    def finish(self, finished: Sequence[Result]) -> int:
        """See DeliveryQueue.finish."""
        with self._noting() as connection:
            return results.finish(connection, finished, self._clock())

    def next_due(self, endpoints: Collection[str]) -> Mapping[str, datetime]:
        """See DeliveryQueue.next_due."""
        with self._reading() as connection:
            return claims.next_due(connection, endpoints)

    def clamp_times(self, endpoints: Collection[str], now: datetime) -> int:
        """See DeliveryQueue.clamp_times."""
        with self._reading() as connection:  # first, since there is usually nothing
            found = clamping.far_ahead(connection, endpoints, now)
        if not found:
            return 0
        with self._noting() as connection:
            return clamping.clamp(connection, found, now)

    def figures(self) -> Sequence[Figure]:
        """See DeliveryQueue.figures."""
        with self._reading() as connection:
            counted = counts(connection)
        if counted.rows > MANY_COUNT_ROWS:
            with self._noting() as connection:
                merge_counts(connection)
        return counted.figures

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
        with self._writing() as connection:
            return decisions.retry(connection, numbers, now)

    def discard(self, numbers: Sequence[int]) -> list[int]:
        """See DeliveryQueue.discard."""
        with self._writing() as connection:
            return decisions.discard(connection, numbers, self._clock())

    def pause(self, endpoint: str, reason: str) -> None:
        """See DeliveryQueue.pause."""
        with self._writing() as connection:
            decisions.pause(connection, endpoint, reason)

    def resume(self, endpoint: str) -> None:
        """See DeliveryQueue.resume."""
        with self._writing() as connection:
            decisions.resume(connection, endpoint)

    def paused(self) -> Mapping[str, str]:
        """See DeliveryQueue.paused."""
        with self._reading() as connection:
            return decisions.paused(connection)

    def open_breaker(self, endpoint: str, reason: str, at: datetime) -> None:
        """See DeliveryQueue.open_breaker."""
        with self._noting() as connection:
            decisions.open_breaker(connection, endpoint, reason, at)

    def close_breaker(self, endpoint: str) -> None:
        """See DeliveryQueue.close_breaker."""
        if endpoint in self.open_breakers():  # since it is usually closed
            with self._noting() as connection:
                decisions.close_breaker(connection, endpoint)

    def open_breakers(self) -> Mapping[str, OpenBreaker]:
        """See DeliveryQueue.open_breakers."""
        with self._reading() as connection:
            return decisions.open_breakers(connection)

    def add_replay(self, replay: Replay) -> int:
        """See DeliveryQueue.add_replay."""
        with self._writing() as connection:
            return replaying.add_replay(connection, replay)

    def replays(self) -> Sequence[Replay]:
        """See DeliveryQueue.replays."""
        with self._reading() as connection:
            return replaying.replays(connection)

    def advance_replay(self, number: int, most: int, now: datetime) -> int:
        """See DeliveryQueue.advance_replay."""
        while piece := self._next_piece(number, most):
            with self._noting() as connection:
                if replaying.advance_replay(connection, piece, now):
                    return len(piece.messages)
        return 0

    def forget_attempts(self, before: datetime) -> None:
        """See DeliveryQueue.forget_attempts."""

        def has_more() -> bool:
            with self._noting() as connection:
                return forget_some(connection, milliseconds_since_epoch(before))

        while passing_over(has_more):
            pass

    def _next_piece(self, number: int, most: int) -> replaying.Piece | None:
        if most <= 0:
            return None
        with self._reading() as connection:
            return replaying.next_piece(connection, number, most)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """Each statement sees what is committed by then."""
        with failures_as_unavailable(), self._connections.statements() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        """Write what people decide, as durably as a message."""
        with failures_as_unavailable(), self._connections.durable_transaction() as connection:
            yield connection

    @contextmanager
    def _noting(self) -> Iterator[Connection]:
        """Write without waiting for the disk: a power cut may undo it, see DeliveryQueue."""
        with failures_as_unavailable(), self._connections.transaction() as connection:
            connection.exec_driver_sql("SET LOCAL synchronous_commit = off")
            yield connection
