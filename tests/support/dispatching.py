"""A dispatcher over a store in memory, with a clock that a test sets and no thread."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import NoReturn

from support.clock import Clock

from app.deliveries.dispatcher import Dispatcher
from app.deliveries.lane import Lane, Request
from app.deliveries.outcome import Outcome, Reason
from app.deliveries.workers import Sent, Workers, successor_of
from app.settings.endpoints import Deliveries, Endpoint
from app.storage.delivery import Attempt, Delivery, DeliveryQuery, State
from app.storage.ids import new_message_id
from app.storage.interface import MessageStore
from app.storage.memory import MemoryStore
from app.storage.message import Envelope, Message

BEGINNING = datetime(2026, 3, 1, tzinfo=UTC)


def endpoint(name: str = "one", *, concurrency: int = 8, ordered: bool = False) -> Endpoint:
    """Return an endpoint of which nothing else matters."""
    return Endpoint(
        name=name,
        url="http://127.0.0.1:1/",
        recipients=("*",),
        secrets=(),
        format="message",
        timeout=30,
        concurrency=concurrency,
        ordered=ordered,
        ca_file=None,
        client_cert_file=None,
        client_key_file=None,
        networks="any",
    )


def outcome(reason: Reason | None, retry_after_s: float | None = None) -> Outcome:
    """Return the outcome of a request that took no time."""
    attempt = Attempt(BEGINNING, "127.0.0.1", None, 0, reason and reason.meaning, b"")
    return Outcome(reason, attempt, retry_after_s)


class HeldWorkers(Workers):
    """Requests stay under way until a test ends them."""

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self.under_way: list[Request] = []
        self.begun: list[Request] = []
        self._now = clock
        self._sent: list[Sent] = []
        self.wakes = 0

    def begin(self, request: Request) -> None:
        self.begun.append(request)
        self.under_way.append(request)

    def ended(self, _seconds: float) -> list[Sent]:
        ends, self._sent = self._sent, []
        return ends

    def wake(self) -> None:
        self.wakes += 1

    def end(self, request: Request, outcome: Outcome | Exception, seconds: float = 0.01) -> None:
        """End a request."""
        self.under_way.remove(request)
        successor = successor_of(request, outcome)
        self._sent.append(Sent(request, self._now(), seconds, outcome, successor))
        if successor:
            self.begin(successor)

    def of(self, name: str) -> list[Request]:
        """Return the requests to an endpoint that are under way."""
        return [each for each in self.under_way if each.lane.name == name]


class Rig:
    """A dispatcher, and what it works with."""

    def __init__(
        self, *endpoints: Endpoint, threads: int = 32, store: MessageStore | None = None
    ) -> None:
        self.clock = Clock(BEGINNING)
        self.timer = Clock(1000.0)
        self.store = store or MemoryStore(self.clock)
        self.queue = self.store.deliveries
        self.workers = HeldWorkers(self.clock)
        self.endpoints = endpoints
        self.dispatcher = self.another(self.workers, threads)
        have_run_for_a_while(self.dispatcher.lanes.values())
        self._added = 0

    def another(self, workers: Workers, threads: int = 32) -> Dispatcher:
        """Return a dispatcher like that of another process, which has just started."""
        return Dispatcher(
            self.store,
            Deliveries(self.endpoints, threads),
            workers,
            self.clock,
            self.timer,
            lambda: 0.0,
        )

    def post(self, count: int = 1, to: str = "one") -> None:
        """Let messages arrive for an endpoint."""
        for _ in range(count):
            self._added += 1
            message = Message(
                new_message_id(self.clock.now),
                self.clock.now,
                Envelope("a@b", "c@d"),
                "",
                str(self._added),
                (to,),
            )
            self.store.add(message, self.store.new_body())

    def run(self, seconds: float = 0.1) -> None:
        """Let that much time pass in which the dispatcher does what it does."""
        with self.store.watch() as version:
            for _ in range(max(round(seconds / 0.02), 1)):
                self.pass_time(0.02)
                self.dispatcher.round(version, 0)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in which nothing is done."""
        self.timer.now += seconds
        self.clock.now += timedelta(seconds=seconds)

    def end_all(self, reason: Reason | None = None, seconds: float = 0.01) -> int:
        """End all requests that are under way in the same way; return how many there were."""
        requests = list(self.workers.under_way)
        for request in requests:
            self.workers.end(request, outcome(reason), seconds)
        return len(requests)

    def deliveries(self, name: str = "one") -> list[Delivery]:
        """Return the deliveries of an endpoint, the first first."""
        query = DeliveryQuery(endpoint=name, limit=100_000, oldest_first=True)
        return list(self.queue.find(query).deliveries)

    def states(self, name: str = "one") -> dict[State, int]:
        """Return how many deliveries of an endpoint are in each state."""
        return Counter(each.state for each in self.deliveries(name))


def have_run_for_a_while(lanes: Iterable[Lane]) -> None:
    """Let as many requests have succeeded that each endpoint's concurrency can be used."""
    for lane in lanes:
        for _ in range(2 * lane.most):
            lane.breaker.begin()
            lane.breaker.succeed()


def fail(*_: object, **__: object) -> NoReturn:
    """Fail as a disk does."""
    raise OSError(5, "Input/output error")
