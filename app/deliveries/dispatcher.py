"""Claims due deliveries, passes them to threads, and stores the results.

All of this runs in one loop in one thread, which never waits for an endpoint; other threads only
send requests.
"""

import logging
import random
import time
from collections.abc import Callable, Iterable
from datetime import datetime

from app.deliveries.attempts import AttemptLog
from app.deliveries.breaker import BreakerState
from app.deliveries.breaker_notes import BreakerNotes
from app.deliveries.claiming import Claiming
from app.deliveries.completions import Completions
from app.deliveries.endings import Endings
from app.deliveries.fairness import Turns
from app.deliveries.lane import Lane
from app.deliveries.leases import Leases
from app.deliveries.outcome import Reason
from app.deliveries.replay import ReplayFeed
from app.deliveries.schedule import surplus_pause
from app.deliveries.verdict import released
from app.deliveries.workers import Workers
from app.errors import StorageUnavailable
from app.metrics.delivery_recorder import DeliveryRecorder
from app.settings.endpoints import Deliveries
from app.storage.delivery import Claim
from app.storage.interface import MessageStore

LOOK_SECONDS = 0.02
"""How soon a commit of another process is noticed."""
REFRESH_SECONDS = 5.0
"""How soon a delivery is noticed that has become due without a commit."""
PAUSED_SECONDS = 0.5
"""How soon the pause or resumption of an endpoint is noticed."""
RETRY_SECONDS = 1.0
WELL_SECONDS = 10.0

_log = logging.getLogger("gomail")


class Dispatcher:
    """Runs with one configuration until it is stopped; a reload creates another dispatcher."""

    def __init__(  # noqa: PLR0913, PLR0917 -- its parts, and what tests pass
        self,
        store: MessageStore,
        deliveries: Deliveries,
        workers: Workers,
        clock: Callable[[], datetime],
        timer: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
        recorder: DeliveryRecorder | None = None,
    ) -> None:
        """`timer` is a monotonic clock in seconds; `draw` returns a number from 0 up to 1."""
        queue = store.deliveries
        self._store = store
        self._queue = queue
        self._threads = deliveries.threads
        self._workers = workers
        self._clock = clock
        self._timer = timer
        self.lanes = {each.name: Lane(each, timer) for each in deliveries.endpoints}
        """The endpoints' lanes by name."""
        self._leases = Leases(queue, clock, timer)
        self._completions = Completions(queue, timer)
        self._claiming = Claiming(queue, self.lanes.values(), clock, timer)
        self._replays = ReplayFeed(queue, clock, timer)
        self._attempts = AttemptLog(recorder)
        self._notes = BreakerNotes(queue, self.lanes, self._attempts, clock, timer)
        self._endings = Endings(
            self._leases, self._completions, self._notes, self._attempts, clock, draw
        )
        self._paused: frozenset[str] = frozenset()
        self._version: int | None = None
        self._look_at = self._refresh_at = self._ask_paused_at = self._well_at = timer()
        self._clamp_at = timer()
        self._is_stopping = False
        self._store_fails = False

    def run(self) -> None:
        """Run until it is stopped, all requests have ended and their results are stored."""
        while not self.is_done():
            try:
                with self._store.watch() as version:
                    self._version = None  # each connection has its own
                    # Not for good: once data_dir was replaced, the old database never changes.
                    until = self._timer() + REFRESH_SECONDS
                    while self._timer() < until and not self.is_done():
                        self.round(version, LOOK_SECONDS)
                        self._note_well()
            except StorageUnavailable as error:
                self._note_failure(error)
                self._wait(RETRY_SECONDS)

    def stop(self) -> None:
        """Start no more requests; any thread or signal handler may call this."""
        self._is_stopping = True
        self._workers.wake()

    def is_done(self) -> bool:
        """Return whether it is stopped and has nothing left to do."""
        return self._is_stopping and not len(self._leases) and not len(self._completions)

    def round(self, version: Callable[[], int], seconds: float) -> None:
        """Do the work that is due; wait up to `seconds` for the end of a request.

        `version` is from MessageStore.watch. Raises StorageUnavailable; call it again afterwards.
        """
        self._gather(seconds)
        self._pause_what_is_gone()
        if not self._is_stopping:  # a successor may already have noted the current state
            self._notes.recall()
            self._notes.store()
        self._release_what_must_wait()
        if self._completions.keep_due():
            self._claiming.note_change()
        self._renew()
        if self._is_stopping:
            self._leases.forgive()
        if not self._is_stopping and self._timer() >= self._look_at:
            self._look_at = self._timer() + LOOK_SECONDS
            self._look(version())
        self._begin()

    def _gather(self, seconds: float) -> None:
        for sent in self._workers.ended(seconds):
            lane = sent.request.lane
            if sent.successor:
                lane.note_begun(sent.successor)
            self._endings.end(sent)
            if isinstance(sent.outcome, StorageUnavailable):
                self._claiming.note_unread(lane)
                continue
            self._claiming.note_end(lane)
            if lane.is_one_at_a_time() or (lane.has_more and not lane.is_waiting()):
                self._look_at = self._timer()

    def _pause_what_is_gone(self) -> None:
        for name, lane in list(self._endings.gone.items()):
            self._queue.pause(name, str(Reason.GONE))
            del self._endings.gone[name]
            self._paused |= {name}
            self._attempts.note_pause(lane)

    def _release_what_must_wait(self) -> None:
        for name, lane in self.lanes.items():
            is_closed = lane.breaker.state is BreakerState.OPEN and not lane.breaker.limit()
            if lane.is_waiting() and (self._is_stopping or is_closed or name in self._paused):
                self._release(lane.take_waiting())

    def _release(self, claims: Iterable[Claim], due_at: datetime | None = None) -> None:
        for claim in claims:
            held = self._leases.let_go(claim.delivery.number)
            self._completions.add(released(held, due_at), is_urgent=self._is_stopping)

    def _renew(self) -> None:
        for number in self._leases.renew_due():
            if any(lane.drop_waiting(number) for lane in self.lanes.values()):
                self._leases.let_go(number)

    def _look(self, version: int) -> None:
        now = self._timer()
        if version != self._version or now >= self._refresh_at:
            self._version, self._refresh_at = version, now + REFRESH_SECONDS
            self._claiming.note_change()
        if now >= self._ask_paused_at:
            self._paused = frozenset(self._queue.paused())
            self._ask_paused_at = now + PAUSED_SECONDS
        if now >= self._clamp_at:
            self._clamp_times(now)
        due = [lane for lane in self._active() if self._claiming.may_be_due(lane)]
        if due or self._replays.is_due():
            turns = self._turns()
            for lane in due:
                self._claim(lane, turns)
            self._feed_replays(turns)

    def _clamp_times(self, now: float) -> None:
        clamped = self._queue.clamp_times(self.lanes, self._clock())
        if clamped:
            self._claiming.note_change()
        self._clamp_at = now + (0 if clamped else REFRESH_SECONDS)

    def _active(self) -> list[Lane]:
        return [lane for name, lane in self.lanes.items() if name not in self._paused]

    def _turns(self) -> Turns:
        paused = [lane for name, lane in self.lanes.items() if name in self._paused]
        taken = sum(len(lane.under_way) for lane in paused)
        return Turns(self._active(), self._threads - taken)

    def _claim(self, lane: Lane, turns: Turns) -> None:
        wanted = turns.wanted(lane)
        if wanted <= 0 or not self._claiming.is_due(lane):
            return
        claims = self._claiming.claim(lane, wanted)
        lane.has_more = len(claims) >= wanted
        # The lease of a request in flight may have expired while the store failed.
        lane.waiting += [each for each in claims if each.delivery.number not in self._leases]
        self._leases.hold(claims)
        if not turns.may_retry():
            for each in lane.take_surplus_retries():
                self._release([each], self._clock() + surplus_pause(each.delivery.attempts))

    def _feed_replays(self, turns: Turns) -> None:
        if not self._replays.is_due():
            return
        idle = {
            lane.name
            for lane in self._active()
            if lane.breaker.state is BreakerState.CLOSED and turns.wanted(lane) > 0
        }
        fed = self._replays.feed(idle)
        if fed:
            self._claiming.note_replays(fed)
            self._look_at = self._timer()

    def _begin(self) -> None:
        if self._is_stopping or not any(lane.is_waiting() for lane in self.lanes.values()):
            return
        for lane in self.lanes.values():
            lane.withdraw(lane.room())  # the threads that could have begun them have ended
        turns = self._turns()
        for lane, claim in turns.take():
            self._workers.begin(lane.begin(claim))
        for lane in self._active():
            lane.line_up() if turns.may_line_up(lane) else lane.withdraw()

    def _wait(self, seconds: float) -> None:
        until = self._timer() + seconds
        while (left := until - self._timer()) > 0:
            self._gather(left)

    def _note_failure(self, error: StorageUnavailable) -> None:
        if not self._store_fails:
            _log.error(
                "Deliveries wait because the store fails: %s. Trying again.", error.__cause__
            )
        self._store_fails = True
        self._well_at = self._timer() + WELL_SECONDS

    def _note_well(self) -> None:
        # Not at once: perhaps only writing fails, and there was nothing to write.
        if self._store_fails and self._timer() >= self._well_at:
            _log.info("The store has worked again for %d seconds", WELL_SECONDS)
            self._store_fails = False
