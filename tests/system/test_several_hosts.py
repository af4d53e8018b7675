"""Several hosts on one database, which is well: see test_database_outages for when it isn't."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from support.commit_swallower import CommitSwallower
from support.hosts import (
    accept_all,
    check_refused,
    deliver,
    deliver_all,
    listed,
    make_hosts,
    queue_ids,
    start_hosts,
    start_together,
)
from support.insistent_clients import InsistentClients
from support.postgresql_server import PostgreSQLServer
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

SWALLOWED = rounds(30, 6)
SAME_MESSAGES = rounds(1_500, 400)
HOST_KILLS = rounds(4, 1)
SENDERS = 16
TIMEOUT_SECONDS = 2
RECOVERY_SECONDS = 10

RecordProperty = Callable[[str, object], None]


@pytest.fixture(scope="module")
def database_server() -> Iterator[PostgreSQLServer]:
    """Return a server that those tests share that leave it as it was."""
    with PostgreSQLServer() as server:
        yield server


@pytest.mark.promise("a commit whose answer is lost is recognized when it is repeated")
def test_each_repeat_after_a_lost_answer_is_recognized(
    database_server: PostgreSQLServer, new_server: NewServer, record_property: RecordProperty
) -> None:
    """The connection breaks after the commit, and before its answer reaches the host."""
    name = database_server.new_database().rpartition("/")[2]
    with CommitSwallower(database_server.port) as proxy:
        hosts = start_hosts(new_server, proxy.url(name), storage_timeout=TIMEOUT_SECONDS)
        with InsistentClients(hosts) as clients:
            for number in range(1, SWALLOWED + 1):
                clients.wait_for_more(30)
                proxy.swallow(1)
                wait_for(lambda: proxy.swallowed == number)  # noqa: B023
        clients.check_stored_once()
    repeats = [each for each in clients.receipts.values() if each.refusals]
    told = (
        f"{SWALLOWED} answers to commits lost, {len(repeats)} messages repeated,"
        f" {sum(each.duplicate for each in repeats)} of them recognized"
    )
    record_property("rounds", told)
    print(told, clients.statuses)
    assert sum(each.duplicate for each in repeats) >= SWALLOWED


@pytest.mark.promise("no kill loses, doubles or cuts an acknowledged message")
def test_a_host_that_is_killed_loses_nothing(
    database_server: PostgreSQLServer, new_server: NewServer, record_property: RecordProperty
) -> None:
    """Relays go on with the other host, to which they also repeat what had no answer."""
    hosts = start_hosts(new_server, database_server.new_database())
    with InsistentClients(hosts) as clients:
        for number in range(HOST_KILLS):
            clients.wait_for_more(200)
            hosts[number % 2].kill()
            clients.wait_for_more(50)
            hosts[number % 2].start()
    clients.check_stored_once()
    told = f"{HOST_KILLS} hosts killed, {len(clients.receipts):,} messages acknowledged, 0 lost"
    record_property("rounds", told)
    print(told, clients.statuses)
    assert clients.statuses[0] > 0, "no request was hit"


def refuse_all(hosts: Sequence[Server], key: str) -> bool:
    """Tell whether each host refuses a message for now."""
    return {deliver(host, key).status for host in hosts} == {503}


def test_nothing_is_acknowledged_that_the_server_would_not_keep(new_server: NewServer) -> None:
    """synchronous_commit is changed under the hosts: 503 until it is on again, then they go on."""
    keys = [f"while{number}" for number in range(20)]
    with PostgreSQLServer() as server:
        hosts = start_hosts(new_server, server.new_database())
        for value in ("off", "local"):
            server.configure(synchronous_commit=value)
            wait_for(lambda: refuse_all(hosts, "changed"))
            check_refused(deliver_all(hosts, [f"{value}{key}" for key in keys]))
            server.configure(synchronous_commit="on")
            wait_for(lambda: accept_all(hosts, "changed"), RECOVERY_SECONDS)
            answers = deliver_all(hosts, [f"{value}{key}" for key in keys])
            assert {answer.status for answer in answers} == {200}
        assert len(listed(hosts[0])) == 1 + 2 * len(keys)


def test_hosts_with_the_same_messages_store_each_once(
    database_server: PostgreSQLServer, new_server: NewServer, record_property: RecordProperty
) -> None:
    """Both get the same at the same moment, the other way round: no deadlock, and one answer."""
    database_url = database_server.new_database()
    hosts = start_hosts(new_server, database_url, threads=SENDERS)
    keys = [f"same{number}" for number in range(SAME_MESSAGES)]
    receipts: list[dict[str, Any]] = [{}, {}]

    def send(number: int, key: str) -> None:
        answer = deliver(hosts[number], key)
        assert answer.status == 200, answer.body
        receipts[number][key] = answer.json()

    began = time.monotonic()
    with ThreadPoolExecutor(2 * SENDERS) as pool:
        for start in range(0, len(keys), SENDERS):
            group = keys[start : start + SENDERS]
            orders = zip(group, reversed(group), strict=True)
            sending = [
                pool.submit(send, number, key) for pair in orders for number, key in enumerate(pair)
            ]
            for each in sending:
                each.result()
    seconds = time.monotonic() - began
    for key in keys:
        one, other = (receipt[key] for receipt in receipts)
        assert one["message_id"] == other["message_id"]
        assert one["duplicate"] != other["duplicate"]
    assert queue_ids(hosts[0]) == sorted(keys)
    told = f"{len(keys)} messages to both at once, {2 * len(keys) / seconds:.0f} answers a second"
    record_property("rounds", told)
    print(told, Counter(each["duplicate"] for each in receipts[0].values()))
    name = database_url.rpartition("/")[2]
    deadlocks = f"SELECT deadlocks FROM pg_stat_database WHERE datname = '{name}'"
    assert database_server.execute(deadlocks) == [(0,)]


def test_hosts_create_an_empty_database_together(
    database_server: PostgreSQLServer, new_server: NewServer
) -> None:
    """Four hosts start at the same moment on an empty database, and share it from then on."""
    hosts = make_hosts(new_server, database_server.new_database(), count=4, workers=1)
    start_together(hosts)
    for number, host in enumerate(hosts):
        assert deliver(host, f"from{number}").status == 200
    assert [queue_ids(host) for host in hosts] == [["from0", "from1", "from2", "from3"]] * 4
