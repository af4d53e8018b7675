"""Whatever two hosts do with deliveries at the same moment, nobody fails and all is counted."""

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from support.deliveries import add_for, at, claim, dead, delivered, failed, released
from support.many_deliveries import add_many
from support.postgresql_host import Host
from support.rounds import rounds

from app.storage.delivery import Claim, DeliveryQuery, Figure, Replay, State
from app.storage.ids import moment_of
from app.storage.message import Reason
from app.storage.postgresql.deliveries.queue import MANY_COUNT_ROWS

ENDPOINTS = ("app", "log")
COUNTED = """
SELECT endpoint, state, count(*) AS many, min(created_at_ms) AS oldest_ms FROM delivery
GROUP BY endpoint, state ORDER BY endpoint, state
"""

Hosts = tuple[Host, Host]


def counted(store: Host) -> list[Figure]:
    """Return the figures, worked out in another way."""
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql(COUNTED).all()
    return [
        Figure(row.endpoint, State(row.state), row.many, moment_of(row.oldest_ms)) for row in rows
    ]


def value(store: Host, statement: str) -> int:
    """Return the only value that a statement selects."""
    with store.engine.connect() as connection:
        return int(connection.exec_driver_sql(statement).scalar_one())


class Worker:
    """Does one thing after the other, drawn at random, to few deliveries that all others share."""

    def __init__(self, store: Host, seed: int) -> None:
        self._store = store
        self._queue = store.deliveries
        self._draw = random.Random(seed)
        self._claims: list[Claim] = []
        self._now = 0.0
        self._ways: Sequence[Callable[[], object]] = (
            *(self._add, self._claim, self._claim, self._claim, self._finish, self._finish),
            *(self._renew, self._forgive, self._retry, self._discard, self._remove),
            *(self._replay, self._clamp, self._forget, self._figures),
        )

    def work(self, steps: int) -> None:
        """Do some things."""
        for _ in range(steps):
            self._draw.choice(self._ways)()
            self._now += self._draw.choice([0, 1, 30])

    def _some(self) -> list[int]:
        query = DeliveryQuery(limit=30, oldest_first=self._draw.random() < 0.5)
        found = [each.number for each in self._queue.find(query).deliveries]
        return self._draw.sample(found, len(found))

    def _add(self) -> None:
        for _ in range(3):
            add_for(self._store, *ENDPOINTS, seconds=self._draw.randrange(100))

    def _claim(self) -> None:
        self._claims += claim(
            self._queue,
            self._draw.choice(ENDPOINTS),
            self._now,
            20,
            in_order=self._draw.random() < 0.2,
            replays=self._draw.random() < 0.3,
        )
        self._draw.shuffle(self._claims)

    def _finish(self) -> None:
        ways = (delivered, dead, released, lambda each: failed(each, self._now))
        some, self._claims = self._claims[:20], self._claims[20:]
        self._queue.finish([self._draw.choice(ways)(each) for each in some])

    def _renew(self) -> None:
        self._claims = self._queue.renew(self._claims, at(self._now + 60))
        self._draw.shuffle(self._claims)

    def _forgive(self) -> None:
        self._queue.forgive(self._claims)

    def _retry(self) -> None:
        self._queue.retry(self._some(), at(self._now))

    def _discard(self) -> None:
        self._queue.discard(self._some()[:10])

    def _remove(self) -> None:
        query = DeliveryQuery(limit=30, oldest_first=True)
        found = [each.message_id for each in self._queue.find(query).deliveries]
        reason = self._draw.choice(list(Reason))
        self._store.remove(self._draw.sample(found, len(found) // 3), reason)

    def _replay(self) -> None:
        number = self._queue.add_replay(Replay(self._draw.choice(ENDPOINTS)))
        self._queue.advance_replay(number, 10, at(self._now))
        self._queue.advance_replay(number, 10, at(self._now))

    def _clamp(self) -> None:
        self._queue.clamp_times(ENDPOINTS, at(self._now - self._draw.choice([0, 200_000])))

    def _forget(self) -> None:
        self._queue.forget_attempts(at(self._draw.choice([-1, 1])))

    def _figures(self) -> None:
        assert all(each.count > 0 for each in self._queue.figures())


def test_nobody_waits_in_a_circle(hosts: Hosts) -> None:
    """Eight threads change the same rows: no deadlock, and the figures are right."""
    workers = [Worker(hosts[seed % 2], seed) for seed in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: each.work(rounds(600, 300)), workers))
    deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
    assert value(hosts[0], deadlocks) == 0
    assert list(hosts[0].deliveries.figures()) == counted(hosts[1])
    undeleted = """
    SELECT count(*) FROM delivery JOIN message ON message.number = message_number
    WHERE deleted_at_ms IS NOT NULL
    """
    assert value(hosts[0], undeleted) == 0


def test_attempts_go_with_their_delivery(hosts: Hosts) -> None:
    """Those of other deliveries stay."""
    store = hosts[0]
    receipts = [add_for(store, "app", "log") for _ in range(3)]
    for endpoint in ENDPOINTS:
        store.deliveries.finish([failed(each, 1) for each in claim(store.deliveries, endpoint)])
    store.remove([each.message_id for each in receipts[1:]], Reason.REQUEST)
    assert value(hosts[0], "SELECT count(*) FROM attempt") == 2


def test_counts_are_merged_beside_writers(hosts: Hosts, database_url: str) -> None:
    """So that they stay few; each of the sums in between is right."""
    add_many(database_url, 64)
    queue = hosts[0].deliveries
    writing = True
    seen: list[int] = []

    def read() -> None:
        while writing:
            seen.append(sum(each.count for each in hosts[1].deliveries.figures()))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(MANY_COUNT_ROWS // 8):
        queue.discard([each.delivery.number for each in claim(queue, limit=4, seconds=1e9)])
        queue.retry([each.number for each in queue.find(DeliveryQuery(limit=64)).deliveries], at(0))
    writing = False
    reader.join()
    assert set(seen) == {64}
    with hosts[0].engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO delivery_tally SELECT 'app', 'pending', n %% 3 - 1"
            f" FROM generate_series(1, {MANY_COUNT_ROWS} / 3 * 3 + 3) AS n"
        )
    assert [each.count for each in queue.figures()] == [64]
    assert value(hosts[0], "SELECT count(*) FROM delivery_tally") == 1
    assert list(queue.figures()) == counted(hosts[0])
