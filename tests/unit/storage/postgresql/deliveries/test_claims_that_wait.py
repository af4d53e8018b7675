"""Two transactions that claim at the same moment decide one after the other."""

from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest
from support.deliveries import add_for, at, claim, delivered
from support.postgresql_host import Host
from support.server import wait_for

from app.storage.delivery import Claim, Replay
from app.storage.postgresql.deliveries import claims

Hosts = tuple[Host, Host]
WAITING = """
SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


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
