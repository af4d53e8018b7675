"""A server with PostgreSQL and an object store that fails, while it is killed, and as mail goes."""

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from datetime import timedelta
from functools import partial

import pytest
from support.bucket import Bucket
from support.failing_object_store import BAD_DIGEST, SLOW_DOWN, FailingObjectStore
from support.hosts import AUTHORIZATION, check_refused, deliver, get, queue_ids, start_hosts
from support.insistent_clients import InsistentClients
from support.linux_process import kill_process
from support.outage import is_ready, is_reported_unhealthy
from support.plain_mail import plain_mail
from support.postgresql_databases import Databases, engine_of
from support.rounds import rounds
from support.seaweedfs_server import SeaweedFSServer
from support.server import Answer, NewServer, Server, wait_for
from support.webhook import webhook

from app.storage.objects.store import PART_BYTES
from app.storage.objects.sweep import YOUNGEST, Findings, sweep
from app.storage.postgresql.objects import named_among

pytestmark = pytest.mark.thorough

TIMEOUT_SECONDS = 2
FROM_BYTES = 16_384
HUGE_BYTES = PART_BYTES + 1_000_000
KILLS = rounds(8, 2)
MESSAGES_BETWEEN_KILLS = 20
FROZEN_SECONDS = 0.5
LARGE_AT_ONCE = 4
ERASURE_SECONDS = 45

Fault = Callable[[FailingObjectStore], AbstractContextManager[None]]
Start = Callable[..., Server]
RecordProperty = Callable[[str, object], None]

FAULTS: Mapping[str, Fault] = {
    "it answered 503 SlowDown": lambda proxy: proxy.refusing(SLOW_DOWN),
    "it answered 400 BadDigest": lambda proxy: proxy.refusing(BAD_DIGEST),
    "connection refused": FailingObjectStore.closed,
    "it didn't answer in time": FailingObjectStore.hanging,
}
"""What the object store does, by what the log says about it."""


def large_mail(number: int) -> bytes:
    """Return a message of its own for each number; one in 20 is put in several parts."""
    draw = random.Random(number)
    size = HUGE_BYTES if number % 20 == 12 else draw.randrange(FROM_BYTES, 200_000)
    return plain_mail(f"large {number}", draw.randbytes(size))


@pytest.fixture
def bucket(seaweedfs: SeaweedFSServer, database_url: str) -> Bucket:
    """Return the bucket of the server's store."""
    return Bucket(seaweedfs, database_url)


@pytest.fixture
def proxy(seaweedfs: SeaweedFSServer) -> Iterator[FailingObjectStore]:
    """Return a proxy in front of the object store."""
    with FailingObjectStore(seaweedfs.port) as failing:
        yield failing


@pytest.fixture
def start(
    database_url: str, bucket: Bucket, proxy: FailingObjectStore, new_server: NewServer
) -> Start:
    """Return a function that starts a server with both; it ends before them."""

    def started(**settings: object) -> Server:
        shared = bucket.server_settings(proxy.url) | {
            "object_store_from_bytes": FROM_BYTES,
            "storage_timeout": TIMEOUT_SECONDS,
        }
        [server] = start_hosts(new_server, database_url, 1, **shared | settings)
        return server

    return started


def deliver_large(server: Server, number: int) -> Answer:
    """Send the large message with this number, which is its queue id."""
    return server.deliver(large_mail(number), X_Original_Queue_Id=f"large{number}")


def raw(server: Server, message_id: str) -> Answer:
    """Return the answer with the bytes of a message."""
    return server.request("GET", f"/messages/{message_id}/raw", headers=AUTHORIZATION)


def accept_large(server: Server, numbers: Sequence[int]) -> list[str]:
    """Send large messages, which are stored now, and return their ids."""
    answers = [deliver_large(server, number) for number in numbers]
    assert [answer.status for answer in answers] == [200] * len(numbers)
    assert not any(answer.json()["duplicate"] for answer in answers)
    return [answer.json()["message_id"] for answer in answers]


@pytest.mark.promise("an object store that fails costs no mail, and nothing is half stored")
def test_large_mail_waits_outside_while_the_object_store_fails(
    start: Start, proxy: FailingObjectStore, bucket: Bucket, record_property: RecordProperty
) -> None:
    """Large mail gets 503 in time and small mail 200; repeats are stored once, with no restart."""
    server = start(workers=1)
    processes = server.worker_pids()
    taken: list[str] = []
    slowest = 0.0
    for place, (reason, fault) in enumerate(FAULTS.items()):
        numbers = range(place * LARGE_AT_ONCE, (place + 1) * LARGE_AT_ONCE)
        with fault(proxy):
            slowest = max(slowest, check_refusal(server, numbers))
            taken.append(f"small{numbers[0]}")
            assert f"The object store failed at put: {reason}" in "".join(server.output())
            assert queue_ids(server) == sorted(taken)
            assert bucket.names() == bucket.names_in_rows()
        check_repeats(server, numbers)
        taken += [f"large{number}" for number in numbers]
        assert bucket.names() == bucket.names_in_rows()
    with proxy.hanging():
        wait_for(lambda: is_reported_unhealthy(server))
    wait_for(lambda: is_ready(server))
    assert queue_ids(server) == sorted(taken)
    assert server.worker_pids() == processes
    told = (
        f"{len(FAULTS)} faults, {len(FAULTS) * LARGE_AT_ONCE} large messages refused,"
        f" the slowest after {slowest:.2f} s"
    )
    record_property("rounds", told)
    print(told)


def check_refusal(server: Server, numbers: Sequence[int]) -> float:
    """Send large messages and a small one at once; return how long the large ones took."""
    began = time.monotonic()
    with ThreadPoolExecutor(len(numbers)) as pool:
        sending = [pool.submit(deliver_large, server, number) for number in numbers]
        assert deliver(server, f"small{numbers[0]}").status == 200
        assert time.monotonic() - began < TIMEOUT_SECONDS, "the small one waited for the others"
    took = time.monotonic() - began
    check_refused([each.result() for each in sending])
    assert took < 2 * TIMEOUT_SECONDS
    return took


def check_repeats(server: Server, numbers: Sequence[int]) -> None:
    """Send the messages that were refused twice more: each is stored once and whole."""
    ids = accept_large(server, numbers)
    for number, message_id in zip(numbers, ids, strict=True):
        repeat = deliver_large(server, number).json()
        assert (repeat["duplicate"], repeat["message_id"]) == (True, message_id)
        assert raw(server, message_id).body == large_mail(number)


def deliveries(server: Server) -> dict[str, tuple[str, int]]:
    """Return the state and the number of attempts of each delivery, by message."""
    found = get(server, "/deliveries")["deliveries"]
    return {each["message_id"]: (each["state"], each["attempt_count"]) for each in found}


def test_a_message_that_cannot_be_read_is_neither_gone_nor_given_up(
    start: Start, proxy: FailingObjectStore, bucket: Bucket
) -> None:
    """A read that fails, or finds no object, is 503; its delivery is tried again until it works."""
    proxy.concerns = lambda request: request.method == "GET"
    with webhook() as hook:
        server = start(webhook_url=hook.url)
        with proxy.refusing(SLOW_DOWN):
            refused, missing = accept_large(server, [0, 1])
            unread = {refused: ("pending", 1), missing: ("pending", 1)}
            wait_for(lambda: deliveries(server) == unread)
            check_refused([raw(server, refused)])
            bucket.objects.remove([bucket.name_of(missing)])
        assert raw(server, refused).body == large_mail(0)
        check_refused([raw(server, missing)])
        tried = {refused: ("delivered", 2), missing: ("pending", 2)}
        wait_for(lambda: deliveries(server) == tried, 20)
        bucket.objects.put(bucket.name_of(missing), [large_mail(1)])
        assert raw(server, missing).body == large_mail(1)
        [delivery] = get(server, "/deliveries?state=pending")["deliveries"]
        server.request("POST", f"/deliveries/{delivery['id']}/retry", headers=AUTHORIZATION)
        deliver(server, "next")  # a retry alone is noticed only some seconds later
        wait_for(lambda: not get(server, "/deliveries?state=pending")["deliveries"])
        assert sorted(hook.ids()) == sorted(f"msg_{each}" for each in deliveries(server))


@pytest.mark.promise("no kill loses, doubles or cuts an acknowledged message")
def test_kills_between_an_object_and_its_row_leave_what_the_sweep_finds(
    start: Start,
    bucket: Bucket,
    databases: Databases,
    database_url: str,
    record_property: RecordProperty,
) -> None:
    """Nothing is lost or twice; the sweep takes exactly the objects that no row names."""
    server = start()
    with InsistentClients([server], mail=large_mail) as clients:
        for number in range(KILLS):
            before = len(clients.receipts)
            wait_for(lambda: len(clients.receipts) > before + MESSAGES_BETWEEN_KILLS, 60)  # noqa: B023
            kill(server, databases, with_rows_waiting=number % 4 != 3)
            server.start()
    clients.check_stored_once()
    clients.check_bytes()
    orphans = bucket.names() - bucket.names_in_rows()
    assert bucket.names_in_rows() <= bucket.names()
    assert orphans, "no kill came between an object and its row"
    findings = sweep_of_tomorrow(bucket, database_url)
    assert (findings.orphans, findings.objects) == (
        len(orphans),
        len(orphans) + len(clients.receipts),
    )
    assert bucket.names() == bucket.names_in_rows()
    clients.check_bytes()
    told = (
        f"{KILLS} kills, {len(clients.receipts):,} messages acknowledged, 0 lost, 0 twice,"
        f" {len(orphans)} objects without a row found and deleted"
    )
    record_property("rounds", told)
    print(told, clients.statuses, sum(each.duplicate for each in clients.receipts.values()))


def kill(server: Server, databases: Databases, *, with_rows_waiting: bool) -> None:
    """Kill the server, after objects were written whose rows the database kept waiting."""
    if not with_rows_waiting:
        server.kill()
        return
    databases.server.freeze()
    try:
        time.sleep(FROZEN_SECONDS)  # each client's object gets there meanwhile
        server.kill()
    finally:
        databases.server.thaw()


def sweep_of_tomorrow(bucket: Bucket, database_url: str) -> Findings:
    """Delete what a sweep finds when all objects are old enough, and return what it was."""
    engine = engine_of(database_url)
    with (
        engine.connect() as connection,
        sweep(bucket.objects, partial(named_among, connection)) as started,
    ):
        findings = started.search(bucket.objects.now() + YOUNGEST + timedelta(minutes=1))
        assert started.delete() == findings.orphans
    engine.dispose()
    return findings


@pytest.mark.promise("mail can be erased for good")
def test_what_is_deleted_leaves_the_bucket(
    start: Start, proxy: FailingObjectStore, bucket: Bucket
) -> None:
    """By the API within the interval, by the command at once, and after an outage of the store."""
    server = start()
    by_api, by_command, api_amid, command_amid, *kept = accept_large(server, range(6))
    doomed = {bucket.name_of(each) for each in (by_api, api_amid, command_amid)}
    erased_at_once = bucket.name_of(by_command)
    delete(server, by_api)
    assert server.gomail("messages", "delete", by_command).returncode == 0
    assert erased_at_once not in bucket.names()
    with proxy.closed():
        delete(server, api_amid)
        ended = server.gomail("messages", "delete", command_amid)
        assert ended.returncode == 1
        assert b"A running server does that within a minute" in ended.stderr
        assert raw(server, command_amid).status == 404
    begin_interval(server)
    wait_for(lambda: not doomed & bucket.names(), ERASURE_SECONDS)
    wait_for(lambda: not bucket.names_to_be_erased())
    assert bucket.names() == bucket.names_in_rows() == {bucket.name_of(each) for each in kept}
    for number, message_id in enumerate(kept, 4):
        assert raw(server, message_id).body == large_mail(number)


def delete(server: Server, message_id: str) -> None:
    """Delete a message by the API."""
    answer = server.request("DELETE", f"/messages/{message_id}", headers=AUTHORIZATION)
    assert answer.status == 204


def begin_interval(server: Server) -> None:
    """Start the next interval of erasing now instead of waiting for it."""
    pid = wait_for(server.retention_pid)
    if rounds(many=False, few=True):
        kill_process(pid)  # its successor erases at once
