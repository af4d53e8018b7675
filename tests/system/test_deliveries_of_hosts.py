"""Deliveries by three processes on several hosts, of which any may be killed."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import accumulate
from pathlib import Path

import pytest
from support.configured import settings_writer
from support.endpoints import SECRET
from support.hosts import AUTHORIZATION, DELIVER, TOKEN, get, make_hosts, start_hosts
from support.linux_process import kill_process
from support.plain_mail import plain_mail
from support.postgresql_server import PostgreSQLServer
from support.rounds import rounds
from support.server import NewServer, Server, wait_for
from support.webhook import Push, Webhook, webhook

KILLS = rounds(10, 2)
MESSAGES = rounds(200, 150)
"""In each round, in which one process is killed."""
SENDERS = 8
CONCURRENCY = 8
GATHERED = 64
"""How many results of an endpoint may be gathered and not kept yet when a process is killed."""
UNKEPT_SECONDS = 1.0
"""How long ago a request may have been that a kill takes the result of; 0.05 and a commit."""
IN_FLIGHT_SECONDS = 1.0
"""How long after a kill the application may read what was sent before it."""
QUIET_SECONDS = 1.0
LEASE_MS = 75_000
PAUSE_SECONDS = 1.5
"""Within this time every process has noticed a pause."""
SEED = 23

RecordProperty = Callable[[str, object], None]


@pytest.fixture(scope="module")
def database_server() -> Iterator[PostgreSQLServer]:
    """Return the server with the databases of all tests here."""
    with PostgreSQLServer() as server:
        yield server


@pytest.fixture
def database_url(database_server: PostgreSQLServer) -> str:
    """Return an empty database."""
    return database_server.new_database()


class Application:
    """Notes how many requests it had at the same moment at most; an answer takes its time."""

    def __init__(self, hook: Webhook, seconds: float) -> None:
        self.hook = hook
        self.most = 0
        self._seconds = seconds
        self._under_way = 0
        self._lock = threading.Lock()
        hook.answer = self._answer

    def first_ids(self) -> list[str]:
        """Return the ids of the messages in the order of their first arrival."""
        return [name.removeprefix("msg_") for name in dict.fromkeys(self.hook.ids())]

    def quiet_seconds(self) -> float:
        """Return how long ago the last request came."""
        return time.monotonic() - self.hook.pushes[-1].at

    def _answer(self, _push: Push) -> int:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        time.sleep(self._seconds)
        with self._lock:
            self._under_way -= 1
        return 200


class Sent:
    """When each message was sent and acknowledged, by its id (time.monotonic)."""

    def __init__(self) -> None:
        self.times: dict[str, tuple[float, float]] = {}

    def send(self, host: Server, number: int) -> None:
        """Deliver a message."""
        began = time.monotonic()
        answer = host.deliver(plain_mail(number, b"x"), X_Original_Queue_Id=f"queue{number}")
        assert answer.status == 200, answer.body
        self.times[answer.json()["message_id"]] = began, time.monotonic()

    def send_all(self, hosts: Sequence[Server], numbers: range) -> None:
        """Deliver a message for each number, from several clients to all hosts in turn."""
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(lambda n: self.send(hosts[n % len(hosts)], n), numbers))

    def check_order(self, arrived: Sequence[str]) -> None:
        """Check that none arrived before one that was acknowledged before it was sent."""
        times = [self.times[message_id] for message_id in arrived]
        later = list(accumulate((ended for _, ended in reversed(times)), min))[::-1]
        for (began, _), earliest_end in zip(times, later[1:], strict=False):
            assert began <= earliest_end


class Processes:
    """Three that deliver: those of two hosts, and a host that only delivers."""

    def __init__(self, hosts: Sequence[Server], deliverer: Server) -> None:
        self._hosts = hosts
        self._deliverer = deliverer
        self._dice = random.Random(SEED)
        self.killed = Counter[str]()
        self._killed_at: list[float] = []
        deliverer.launch(DELIVER)

    def kill_one(self) -> None:
        """Kill one by chance; it is replaced at once."""
        name = self._dice.choice(["host0", "host1", "deliverer"])
        if name == "deliverer":
            self._deliverer.kill()
            self._deliverer.launch(DELIVER)
        else:
            kill_process(wait_for(self._hosts[int(name[-1])].delivery_pid))
        self._killed_at.append(time.monotonic())
        self.killed[name] += 1

    def explain(self, accepted_at: float) -> bool:
        """Tell whether a kill may have taken the result of a request that was accepted then."""
        return any(
            at - UNKEPT_SECONDS <= accepted_at <= at + IN_FLIGHT_SECONDS for at in self._killed_at
        )


@pytest.mark.promise("a message reaches its endpoint at least once, whatever is killed")
def test_every_message_arrives_whichever_process_is_killed(
    new_server: NewServer,
    database_server: PostgreSQLServer,
    database_url: str,
    tmp_path: Path,
    record_property: RecordProperty,
) -> None:
    """Little is repeated; an ordered endpoint has one request at a time, in order, over all."""
    with ExitStack() as stack:
        seconds = {"quick": 0.02, "ordered": 0.002}
        applications = {
            name: Application(stack.enter_context(webhook()), duration)
            for name, duration in seconds.items()
        }
        config = write_config(tmp_path, {name: each.hook for name, each in applications.items()})
        *hosts, deliverer = make_hosts(new_server, database_url, count=3, config=config)
        for host in hosts:
            host.start()
        processes, sent = Processes(hosts, deliverer), Sent()
        for number in range(KILLS):
            with ThreadPoolExecutor(1) as pool:
                numbers = range(number * MESSAGES, (number + 1) * MESSAGES)
                sending = pool.submit(sent.send_all, hosts, numbers)
                wait_for(lambda: len(sent.times) > (number + 0.5) * MESSAGES, 60)  # noqa: B023
                processes.kill_one()
                sending.result()
            wait_for(
                lambda: all(each.quiet_seconds() > QUIET_SECONDS for each in applications.values()),
                60,
            )
            let_claims_expire(database_server, database_url)
            for application in applications.values():
                wait_for(lambda: set(application.first_ids()) == sent.times.keys(), 60)  # noqa: B023
        check_applications(applications, sent, processes, record_property)


def write_config(tmp_path: Path, hooks: dict[str, Webhook]) -> Path:
    """Return a configuration with an endpoint for each of them."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    file = tmp_path / "gomail.yaml"
    settings_writer(file, TOKEN)(
        endpoints=[
            {
                "name": name,
                "url": hook.url,
                "secret_file": str(secret),
                "ordered": name == "ordered",
                "concurrency": CONCURRENCY,
            }
            for name, hook in hooks.items()
        ]
    )
    return file


def let_claims_expire(server: PostgreSQLServer, database_url: str) -> None:
    """Do what the time does: nobody but a killed process has claims at this moment."""
    server.execute(
        f"UPDATE delivery SET claimable_at_ms = claimable_at_ms - {LEASE_MS}"
        " WHERE lease IS NOT NULL AND state = 'pending'",
        database_url.rpartition("/")[2],
    )


def check_repeats(hook: Webhook, processes: Processes) -> int:
    """Check that only what a kill has interrupted was accepted again; return how often."""
    accepted_at: dict[str, float] = {}
    for push in hook.accepted:
        before = accepted_at.get(push.webhook_id)
        assert before is None or processes.explain(before), "repeated without a reason"
        accepted_at[push.webhook_id] = push.at
    return len(hook.accepted) - len(accepted_at)


def check_applications(
    applications: dict[str, Application],
    sent: Sent,
    processes: Processes,
    record_property: RecordProperty,
) -> None:
    """Check what has arrived."""
    repeats = {name: check_repeats(each.hook, processes) for name, each in applications.items()}
    told = (
        f"{processes.killed.total()} of 3 processes on 3 hosts killed,"
        f" {len(sent.times):,} messages to each of 2 endpoints, {sum(repeats.values())} repeats"
    )
    record_property("rounds", told)
    print(told, dict(processes.killed), repeats)
    kills = processes.killed.total()
    assert repeats["quick"] <= kills * (CONCURRENCY + GATHERED)
    assert repeats["ordered"] <= kills * GATHERED
    assert applications["ordered"].most == 1
    sent.check_order(applications["ordered"].first_ids())


def change(host: Server, endpoint: str, action: str) -> None:
    """Pause or resume an endpoint."""
    path = f"/endpoints/{endpoint}/{action}"
    assert host.request("POST", path, headers=AUTHORIZATION).status == 200


def state(host: Server) -> str:
    """Return the state of the only endpoint, as a host tells it."""
    [endpoint] = get(host, "/endpoints")["endpoints"]
    return str(endpoint["state"])


def test_a_pause_counts_on_each_host(new_server: NewServer, database_url: str) -> None:
    """An endpoint is paused at one host and resumed at another; each keeps to it."""
    with webhook() as hook:
        hosts = start_hosts(new_server, database_url, webhook_url=hook.url, workers=1)
        sent = Sent()
        sent.send_all(hosts, range(20))
        wait_for(lambda: len(set(hook.ids())) == 20)
        change(hosts[0], "webhook", "pause")
        assert [state(host) for host in hosts] == ["paused", "paused"]
        time.sleep(PAUSE_SECONDS)
        sent.send_all(hosts, range(20, 40))
        time.sleep(QUIET_SECONDS)
        assert len(hook.pushes) == 20
        change(hosts[1], "webhook", "resume")
        wait_for(lambda: len(hook.pushes) == 40)
        assert [state(host) for host in hosts] == ["closed", "closed"]
        assert len(set(hook.ids())) == 40


def test_an_open_breaker_counts_on_each_host(new_server: NewServer, database_url: str) -> None:
    """A host that starts while an endpoint is down begins with a probe, which ends the outage."""
    with webhook() as hook:
        hook.answer = lambda _: 503
        first, second, third = make_hosts(
            new_server, database_url, count=3, webhook_url=hook.url, workers=1
        )
        first.start()
        Sent().send_all([first], range(20))
        wait_for(lambda: state(first) == "open")
        failed = len(hook.pushes)
        second.start()
        assert state(second) == "open"
        wait_for(lambda: len(hook.pushes) > failed)
        time.sleep(QUIET_SECONDS)
        assert len(hook.pushes) == failed + 1, "more than a probe was sent"
        hook.answer = lambda _: 200
        third.launch(DELIVER)
        # Those that have failed are tried again later.
        wait_for(lambda: len(hook.accepted) >= 20 - failed - 1, 60)
        wait_for(lambda: [state(host) for host in (first, second)] == ["closed", "closed"])
