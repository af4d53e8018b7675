"""Two transactions that claim at the same moment decide one after the other."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest
from psycopg.errors import DeadlockDetected
from support.deliveries import add_for, at, claim, delivered
from support.postgresql_host import Host
from support.server import wait_for

from app.errors import StorageUnavailable
from app.storage.delivery import Claim, DeliveryQuery, Replay, State
from app.storage.postgresql.deliveries import claims

Hosts = tuple[Host, Host]
WAITING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


WAITING_FOR_A_ROW = "SELECT count(*) FROM pg_locks WHERE locktype = 'transactionid' AND NOT granted"
LOCK = "SELECT FROM delivery WHERE number = %s FOR UPDATE"
# Which transactions wait for the table of deliveries.
STOPPED = (
    "SELECT virtualtransaction FROM pg_locks WHERE relation = 'delivery'::regclass AND NOT granted"
)


def claimed_beside_each_other(
    hosts: Hosts, first: partial[list[Claim]], second: partial[list[Claim]]
) -> tuple[list[Claim], list[Claim]]:
    """Claim in a transaction that ends when `second` waits for it or has ended."""
    with ThreadPoolExecutor(1) as pool:
        with hosts[0].engine.begin() as connection:
            claimed = first(connection)
            result: Future[list[Claim]] = pool.submit(second)
            wait_for(lambda: result.done() or connection.exec_driver_sql(WAITING).scalar())
        return claimed, result.result()


def in_transaction(endpoint: str, seconds: float, *, in_order: bool) -> partial[list[Claim]]:
    """Return what claims live deliveries in the transaction of a connection."""
    return partial(
        claims.claim,
        endpoint=endpoint,
        limit=64,
        now=at(seconds),
        until=at(seconds + 60),
        replays=False,
        in_order=in_order,
    )


@pytest.mark.parametrize("first_in_order", [True, False])
def test_in_order_waits_for_claims_of_the_endpoint(hosts: Hosts, first_in_order: bool) -> None:
    """So a replay isn't claimed beside new mail, nor beside what is claimed without an order."""
    store, queue = hosts[0], hosts[0].deliveries
    add_for(store, "app", "log")
    queue.finish([delivered(each) for each in claim(queue)])
    queue.advance_replay(queue.add_replay(Replay("app")), 1, at(1))
    add_for(store, "app")
    first, second = claimed_beside_each_other(
        hosts,
        in_transaction("app", 2, in_order=first_in_order),
        partial(claim, hosts[1].deliveries, seconds=2, replays=True, in_order=True),
    )
    assert (len(first), second) == (1, [])
    queue.finish([delivered(each) for each in first])
    assert len(claim(queue, seconds=2, replays=True, in_order=True)) == 1


def test_claims_without_an_order_wait_for_nobody(hosts: Hosts) -> None:
    """Two hosts claim for one endpoint at the same moment."""
    for _ in range(80):
        add_for(hosts[0], "app")
    with hosts[0].engine.begin() as connection:
        assert len(in_transaction("app", 0, in_order=False)(connection)) == 64
        assert len(claim(hosts[1].deliveries)) == 16


@pytest.mark.parametrize("second_in_order", [True, False])
def test_a_last_chance_waits_for_another(hosts: Hosts, second_in_order: bool) -> None:
    """Of another endpoint: whoever comes second sees that one is given."""
    for endpoint in ("app", "log"):
        add_for(hosts[0], endpoint)
        for seconds in (0, 60):
            assert len(claim(hosts[0].deliveries, endpoint, seconds)) == 1
    first, second = claimed_beside_each_other(
        hosts,
        in_transaction("app", 120, in_order=False),
        partial(claim, hosts[1].deliveries, "log", 120, in_order=second_in_order),
    )
    assert (len(first), second) == (1, [])


def test_a_claim_that_has_to_wait_begins_anew(hosts: Hosts) -> None:
    """What it has locked by then is free meanwhile: so it never waits in a circle."""
    add_for(hosts[0], "app")
    stopped = set[str]()
    with ThreadPoolExecutor(1) as pool:
        with hosts[0].engine.begin() as connection:
            connection.exec_driver_sql("LOCK TABLE delivery IN EXCLUSIVE MODE")
            result = pool.submit(claim, hosts[1].deliveries)

            def has_begun_anew() -> bool:
                stopped.update(connection.exec_driver_sql(STOPPED).scalars())
                return len(stopped) > 2

            wait_for(has_begun_anew)
        assert len(result.result()) == 1


def test_a_circle_leaves_nothing_half_done(hosts: Hosts) -> None:
    """Should the server find one all the same: whoever is sent away can ask again."""
    queue = hosts[0].deliveries
    for _ in range(2):
        add_for(hosts[0], "app")
    first, second = sorted(each.number for each in queue.find(DeliveryQuery()).deliveries)
    with ThreadPoolExecutor(1) as pool, hosts[1].engine.begin() as other:
        other.exec_driver_sql("SET LOCAL deadlock_timeout = '1min'")  # the server chooses `queue`
        other.exec_driver_sql(LOCK, (second,))
        result = pool.submit(queue.discard, [first, second])
        wait_for(lambda: other.exec_driver_sql(WAITING_FOR_A_ROW).scalar())
        other.exec_driver_sql(LOCK, (first,))
        with pytest.raises(StorageUnavailable) as failure:
            result.result()
        assert isinstance(failure.value.__cause__, DeadlockDetected)
    assert {each.state for each in queue.find(DeliveryQuery()).deliveries} == {State.PENDING}
    assert queue.discard([first, second]) == [first, second]
