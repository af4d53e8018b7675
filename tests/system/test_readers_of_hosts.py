"""Readers of a database that several hosts write to."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import pytest
from support.cursor_reader import CursorReader, reading
from support.hosts import start_hosts
from support.insistent_clients import InsistentClients
from support.plain_mail import plain_mail
from support.postgresql_server import PostgreSQLServer
from support.rounds import rounds
from support.server import NewServer, Server, wait_for

MESSAGES = rounds(10_000, 1_000)
WRITERS = 4
WAITS = rounds(100, 20)
WAIT_SECONDS = 20
LONGEST_SECONDS = 1.0

RecordProperty = Callable[[str, object], None]


@pytest.fixture(scope="module")
def database_server() -> Iterator[PostgreSQLServer]:
    """Return the server with the databases of all tests here."""
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def hosts(new_server: NewServer, database_server: PostgreSQLServer) -> list[Server]:
    """Return two running hosts on an empty database."""
    return start_hosts(new_server, database_server.new_database())


@pytest.mark.promise("a reader that pages by cursor sees every message, also while others write")
def test_a_reader_beside_writers_sees_each_message_once(
    hosts: list[Server], record_property: RecordProperty
) -> None:
    """Four writers on two hosts; one reader asks both hosts in turn, another waits at each."""
    readers = [CursorReader(hosts), CursorReader(hosts, wait=1)]
    with reading(*readers), InsistentClients(hosts, WRITERS) as clients:
        wait_for(lambda: len(clients.receipts) >= MESSAGES, 300)
    acknowledged = clients.message_ids()
    for reader in readers:
        reader.check_seen_once(acknowledged)
    told = f"{len(acknowledged):,} messages of {WRITERS} writers on 2 hosts, each seen once"
    record_property("rounds", told)
    print(told)


@pytest.mark.alone
def test_a_waiting_reader_hears_of_another_host(
    hosts: list[Server], record_property: RecordProperty
) -> None:
    """What one host stores is answered within a second by the other, where a reader waits."""
    writing, waiting = hosts
    reader = CursorReader([waiting], wait=WAIT_SECONDS)
    seconds = []
    with ThreadPoolExecutor(1) as pool:
        for number in range(WAITS):
            answer = pool.submit(reader.read)
            time.sleep(0.2)  # until the request waits
            assert not answer.done()
            began = time.monotonic()
            stored = writing.deliver(plain_mail(number, b"x")).json()["message_id"]
            assert [each["id"] for each in answer.result()] == [stored]
            seconds.append(time.monotonic() - began)
    told = f"{WAITS} messages, median {median(seconds):.3f} s, at most {max(seconds):.3f} s"
    record_property("rounds", told)
    print(told)
    assert max(seconds) < LONGEST_SECONDS
