"""Two hosts while their database fails: servers are killed, a standby takes over or freezes."""

import time
from collections.abc import Callable, Iterator

import pytest
from support.cursor_reader import CursorReader, reading
from support.hosts import accept_all, check_refused, deliver, deliver_all, queue_ids, start_hosts
from support.insistent_clients import InsistentClients
from support.postgresql_pair import PostgreSQLPair
from support.postgresql_server import PostgreSQLServer
from support.rounds import rounds
from support.server import Answer, NewServer, Server, wait_for
from support.upload import metrics
from support.webhook import webhook

FAILOVERS = rounds(3, 1)
DOWN_SECONDS = rounds(15, 3)
TIMEOUT_SECONDS = 2
RECOVERY_SECONDS = 10
DELIVERY_SECONDS = 90
"""What a process had claimed when its database went away may be repeated as late as this."""
WAITING_FOR_OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

RecordProperty = Callable[[str, object], None]


@pytest.fixture
def pair() -> Iterator[PostgreSQLPair]:
    """Return a primary with its standby."""
    with PostgreSQLPair() as made:
        yield made


@pytest.fixture
def database_server() -> Iterator[PostgreSQLServer]:
    """Return a server without a standby."""
    with PostgreSQLServer() as server:
        yield server


@pytest.mark.promise("the loss of a database server with a synchronous standby loses no mail")
def test_no_failover_loses_or_doubles_a_message(
    pair: PostgreSQLPair, new_server: NewServer, record_property: RecordProperty
) -> None:
    """The primary is killed under load and the standby promoted; the two hosts go on with it.

    Each message is stored once, is seen once by a reader, and reaches the application.
    """
    gaps = []
    with webhook() as hook:
        hosts = start_hosts(
            new_server,
            pair.new_database(),
            storage_timeout=TIMEOUT_SECONDS,
            webhook_url=hook.url,
        )
        reader = CursorReader(hosts)
        with reading(reader), InsistentClients(hosts) as clients:
            for _ in range(FAILOVERS):
                clients.wait_for_more(300)
                killed_at = time.monotonic()
                pair.fail_over()
                clients.wait_for_more(100)
                gaps.append(clients.longest_gap(killed_at))
                pair.copy_to_standby()
        clients.check_stored_once()
        reader.check_seen_once(clients.message_ids())
        wait_for(lambda: set(hook.ids()) == clients.webhook_ids(), DELIVERY_SECONDS)
    repeats = sum(each.duplicate for each in clients.receipts.values())
    told = (
        f"{FAILOVERS} failovers, {len(clients.receipts):,} messages acknowledged, 0 lost, 0 twice,"
        f" {repeats} repeats recognized, gaps of {', '.join(f'{gap:.2f}' for gap in gaps)} s"
    )
    record_property("rounds", told)
    print(told, clients.statuses, f"{len(hook.ids()) - len(clients.receipts)} delivered twice")
    assert clients.statuses[200] == len(clients.receipts)
    assert clients.statuses.total() > clients.statuses[200], "no request was hit"


def test_a_frozen_standby_acknowledges_nothing(pair: PostgreSQLPair, new_server: NewServer) -> None:
    """What only the primary has is answered 503, repeats too; later, repeats are stored once.

    The server has no connection left of a repeat that a host has given up.
    """
    keys = [f"frozen{number}" for number in range(8)]
    hosts = start_hosts(new_server, pair.new_database(), storage_timeout=TIMEOUT_SECONDS)
    assert deliver(hosts[0], "before").status == 200
    pair.standby.freeze()
    try:
        for _ in ("first", "repeated"):
            began = time.monotonic()
            check_refused(deliver_all(hosts, keys))
            assert time.monotonic() - began < 3 * TIMEOUT_SECONDS
        wait_for(lambda: pair.execute(WAITING_FOR_OTHERS) == [(0,)])
    finally:
        pair.standby.thaw()
    wait_for(lambda: accept_all(hosts, "after"), RECOVERY_SECONDS)
    first, second = deliver_all(hosts, keys), deliver_all(hosts[::-1], keys)
    ids = [[answer.json()["message_id"] for answer in answers] for answers in (first, second)]
    assert ids[0] == ids[1]
    assert queue_ids(hosts[1]) == sorted(["before", "after", *keys])
    assert not pair.execute("SELECT FROM pg_stat_replication WHERE sync_state <> 'sync'")


@pytest.mark.promise("hosts outlive an outage of their database, and recover by themselves")
def test_an_outage_of_the_database_costs_no_mail(
    database_server: PostgreSQLServer, new_server: NewServer, record_property: RecordProperty
) -> None:
    """503 and Retry-After from both hosts, whose processes stay; seconds later all is as before."""
    with webhook() as hook:
        database_url = database_server.new_database()
        hosts = start_hosts(
            new_server, database_url, storage_timeout=TIMEOUT_SECONDS, webhook_url=hook.url
        )
        processes = [(set(host.worker_pids()), host.delivery_pid()) for host in hosts]
        with InsistentClients(hosts) as clients:
            clients.wait_for_more(50)
            database_server.kill()
            for host in hosts:
                check_outage(host)
            time.sleep(DOWN_SECONDS)
            database_server.start()
            back_at = time.monotonic()
            clients.wait_for_more(100, RECOVERY_SECONDS)
            for host in hosts:
                wait_for(lambda: host.request("GET", "/ready").status == 200)  # noqa: B023
        gap = clients.first_after(back_at)
        assert [(set(host.worker_pids()), host.delivery_pid()) for host in hosts] == processes
        clients.check_stored_once()
        wait_for(lambda: set(hook.ids()) == clients.webhook_ids(), DELIVERY_SECONDS)
    told = f"an outage of {DOWN_SECONDS} s, and {gap:.2f} s until mail was acknowledged"
    record_property("rounds", told)
    print(told, clients.statuses)


def unready(host: Server) -> Answer | None:
    """Return what /ready answers once that isn't 200: each worker looks once a second."""
    answer = host.request("GET", "/ready")
    return None if answer.status == 200 else answer


def check_outage(host: Server) -> None:
    """Check what a host says while its database is away."""
    check_refused([deliver(host, "outage")])
    check_refused([wait_for(lambda: unready(host))])
    assert metrics(host)["total_emails"] > 0
    assert host.scrape().value("build_info") == 1
    assert any(line["level"] == "ERROR" for line in host.log())
