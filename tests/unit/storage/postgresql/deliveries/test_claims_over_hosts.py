"""Processes of several hosts share one queue of deliveries in PostgreSQL."""

import json
import multiprocessing
import os
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.deliveries import add_for, at, claim, delivered, released, states
from support.many_deliveries import add_many
from support.postgresql_host import Host
from support.rounds import rounds
from support.server import wait_for
from support.together import outputs_of_all

from app.storage.delivery import Claim, DeliveryQuery, Replay, State

CLAIM_AND_FINISH = """
import json, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from app.settings import Storage
from app.storage.delivery import Result, State
from app.storage.postgresql.store import PostgreSQLStore

queue, numbers = PostgreSQLStore(Storage(Path(), sys.argv[1])).deliveries, []
queue.paused()
# at once
now = datetime.now(UTC)
in_order = sys.argv[2] == "in order"
while queue.next_due(["app"]):
    claims = queue.claim(
        "app", 7, now, now + timedelta(seconds=60), replays=False, in_order=in_order
    )
    numbers += [each.delivery.number for each in claims]
    results = [Result(each, State.DELIVERED, None, True, None, None) for each in claims]
    assert queue.finish(results) == len(claims)
print(json.dumps(numbers))
"""
CLAIMED_AT_ONCE = 5
LEASE_SECONDS = 5

Hosts = tuple[Host, Host]


def made(store: Host) -> list[int]:
    """Return the numbers of all deliveries, the first to be made first."""
    query = DeliveryQuery(limit=100_000, oldest_first=True)
    return [each.number for each in store.deliveries.find(query).deliveries]


class InFlight:
    """Counts what is claimed at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now = 0
        self.most = 0
        self.numbers: list[int] = []

    @contextmanager
    def sending(self, claims: Sequence[Claim]) -> Iterator[None]:
        """Count claims until the block ends; their results must be stored behind it."""
        with self._lock:
            self.now += len(claims)
            self.most = max(self.most, self.now)
            self.numbers += [each.delivery.number for each in claims]
        yield
        with self._lock:
            self.now -= len(claims)


def at_once(*works: Callable[[], None]) -> None:
    """Do all of these beside each other."""
    with ThreadPoolExecutor(len(works)) as pool:
        for future in [pool.submit(work) for work in works]:
            future.result()


@pytest.mark.parametrize("order", ["in order", "by time"])
def test_each_delivery_is_claimed_by_one_process(
    hosts: Hosts, database_url: str, order: str
) -> None:
    """Four processes at once, until there is nothing left; in order if asked for."""
    add_many(database_url, 100)
    every = made(hosts[0])
    outputs = outputs_of_all(CLAIM_AND_FINISH, [[database_url, order]] * 4)
    claimed = [json.loads(output) for output in outputs]
    assert sorted(number for each in claimed for number in each) == every
    assert all(each == sorted(each) for each in claimed)
    assert states(hosts[0]) == [State.DELIVERED] * 100


def deliver_until_nothing_is_left(url: str, log: Path) -> None:
    """Deliver, and note in the file `log` what is claimed; a process of its own."""
    queue = Host(url).deliveries
    lease = timedelta(seconds=LEASE_SECONDS)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    while queue.next_due(["app"]):
        now = datetime.now(UTC)
        claims = queue.claim(
            "app", CLAIMED_AT_ONCE, now, now + lease, replays=False, in_order=False
        )
        if claims:
            numbers = " ".join(str(each.delivery.number) for each in claims)
            os.write(descriptor, f"{numbers}\n".encode())
        assert queue.finish([delivered(each) for each in claims]) == len(claims)


def test_what_a_killed_process_has_claimed_is_claimed_again(
    hosts: Hosts, database_url: str, tmp_path: Path
) -> None:
    """Killed at random: each arrives, and only what was under way is repeated."""
    count, kills, draw = rounds(2000, 800), rounds(25, 10), random.Random(3)
    add_many(database_url, count)
    every = made(hosts[0])
    log = tmp_path / "log"
    log.touch()
    fork = multiprocessing.get_context("fork")

    def started() -> multiprocessing.process.BaseProcess:
        new = fork.Process(target=deliver_until_nothing_is_left, args=(database_url, log))
        new.start()
        return new

    processes = [started() for _ in range(4)]
    for kill in range(kills):
        wait_for(lambda: log.read_bytes().count(b"\n") > kill * count // kills // 8, 30)  # noqa: B023
        killed = draw.randrange(4)
        processes[killed].kill()
        processes[killed].join()
        processes[killed] = started()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    sent = Counter(map(int, log.read_text().split()))
    assert sent.total() - len(sent) <= kills * CLAIMED_AT_ONCE
    for number in every:
        delivery, _ = hosts[0].deliveries.get(number)
        assert delivery.state is State.DELIVERED or delivery.reason == "poison"
        assert sent[number] or delivery.reason == "poison"


def test_in_order_is_in_order_over_hosts(hosts: Hosts) -> None:
    """One at a time and by number, beside writers that take a number long before they commit."""
    flight = InFlight()
    writing = [True, True]

    def write(host: int) -> None:
        for second in range(60):
            add_for(hosts[host], "app", seconds=second % 7)
        writing[host] = False

    def deliver(host: int) -> None:
        queue = hosts[host].deliveries
        while any(writing) or queue.next_due(["app"]):
            claims = claim(queue, seconds=10, in_order=True)
            with flight.sending(claims):
                pass
            assert queue.finish([delivered(each) for each in claims]) == len(claims)

    at_once(
        *[lambda host=host: write(host) for host in (0, 1)]
        + [lambda host=host: deliver(host) for host in (0, 1, 0, 1)]
    )
    assert flight.most == 1
    assert flight.numbers == sorted(flight.numbers) == made(hosts[0])


def test_in_order_is_one_at_a_time_of_both_kinds(hosts: Hosts) -> None:
    """While replays are claimed on one host and new mail on the other."""
    flight = InFlight()
    for _ in range(40):
        add_for(hosts[0], "app")
    queue = hosts[0].deliveries
    for each in claim(queue):
        queue.finish([delivered(each)])
    queue.advance_replay(queue.add_replay(Replay("app")), 500, at(1))
    for _ in range(40):
        add_for(hosts[0], "app")

    def deliver(host: int, *, replays: bool) -> None:
        queue = hosts[host].deliveries
        while queue.next_due(["app"]):
            claims = claim(queue, seconds=10, in_order=True, replays=replays)
            with flight.sending(claims):
                pass
            assert queue.finish([delivered(each) for each in claims]) == len(claims)

    at_once(lambda: deliver(0, replays=True), lambda: deliver(1, replays=False))
    assert flight.most == 1
    assert len(flight.numbers) == 80


def test_one_at_a_time_has_its_last_chance_over_hosts(hosts: Hosts) -> None:
    """In the whole store, whichever host and endpoint it belongs to."""
    flight = InFlight()
    for _ in range(30):
        add_for(hosts[0], "app", "log")
    for seconds in (0, 60):
        for endpoint in ("app", "log"):
            assert len(claim(hosts[0].deliveries, endpoint, seconds)) == 30

    def deliver(host: int, endpoint: str, *, in_order: bool) -> None:
        queue = hosts[host].deliveries
        while queue.next_due([endpoint]):
            claims = claim(queue, endpoint, seconds=120, in_order=in_order)
            with flight.sending(claims):
                pass
            assert queue.finish([delivered(each) for each in claims]) == len(claims)

    at_once(
        lambda: deliver(0, "app", in_order=False),
        lambda: deliver(1, "app", in_order=False),
        lambda: deliver(0, "log", in_order=True),
        lambda: deliver(1, "log", in_order=True),
    )
    assert flight.most == 1
    assert len(flight.numbers) == 60


def test_a_claim_waits_for_no_row(hosts: Hosts) -> None:
    """What another transaction is changing is passed over, in order by giving up."""
    for _ in range(3):
        add_for(hosts[0], "app")
    first, *others = made(hosts[0])
    with hosts[0].engine.begin() as connection:
        connection.exec_driver_sql("SELECT FROM delivery WHERE number = %s FOR UPDATE", (first,))
        assert claim(hosts[1].deliveries, in_order=True) == []
        claims = claim(hosts[1].deliveries)
        assert [each.delivery.number for each in claims] == others
    hosts[1].deliveries.finish([released(each) for each in claims])
    [claimed] = claim(hosts[1].deliveries, in_order=True)
    assert claimed.delivery.number == first


def test_in_order_waits_for_what_may_come_before(hosts: Hosts) -> None:
    """A message that has its number but isn't stored yet; pages wait for it, too."""
    with hosts[0].engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_current_xact_id()")
        add_for(hosts[1], "app")
        assert hosts[1].deliveries.next_due(["app"])
        assert claim(hosts[1].deliveries, in_order=True) == []
        assert made(hosts[1]) == []
    assert len(made(hosts[1])) == 1
    assert len(claim(hosts[1].deliveries, in_order=True)) == 1
