"""Handles the end of a request, for its delivery and its endpoint."""

from collections.abc import Callable
from datetime import datetime

from app.deliveries.attempts import AttemptLog
from app.deliveries.breaker_notes import BreakerNotes
from app.deliveries.completions import Completions
from app.deliveries.lane import Lane
from app.deliveries.leases import Leases
from app.deliveries.outcome import Outcome
from app.deliveries.verdict import verdict
from app.deliveries.workers import Sent


class Endings:
    """Handles the ended requests of one dispatcher, without using the store."""

    def __init__(  # noqa: PLR0913, PLR0917 -- its parts
        self,
        leases: Leases,
        completions: Completions,
        notes: BreakerNotes,
        log: AttemptLog,
        clock: Callable[[], datetime],
        draw: Callable[[], float],
    ) -> None:
        """`draw` returns a number from 0 up to 1."""
        self._leases = leases
        self._completions = completions
        self._notes = notes
        self._log = log
        self._clock = clock
        self._draw = draw
        self.gone: dict[str, Lane] = {}
        """Endpoints that have answered 410, until their pause is stored for all processes."""

    def end(self, sent: Sent) -> None:
        """Handle the end of a request."""
        lane = sent.request.lane
        lane.end(sent.request)
        claim = self._leases.let_go(sent.request.claim.delivery.number)
        result = verdict(claim, sent, self._clock(), self._draw)
        self._completions.add(result, is_urgent=lane.is_one_at_a_time())
        self._log.note(sent, result)
        self._judge(lane, sent)

    def _judge(self, lane: Lane, sent: Sent) -> None:
        outcome, permit, before = sent.outcome, sent.request.permit, lane.breaker.state
        if not isinstance(outcome, Outcome):
            lane.breaker.give_back(permit)
            return
        lane.latency.add(sent.seconds)
        if outcome.is_breaking:
            lane.breaker.fail(permit)
        else:
            lane.breaker.succeed()
        self._log.note_breaker(lane, before)
        self._notes.note(lane, outcome, before)
        if outcome.pauses:
            self.gone[lane.name] = lane
