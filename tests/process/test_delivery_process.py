"""The delivery process in real servers, and alone; see also tests/unit/deliveries."""

import os
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median

import pytest
from support.configured import settings_writer
from support.linux_process import kill_process, lives
from support.rounds import rounds
from support.samples import Samples
from support.server import CHECKOUT, FLASK, NewServer, Server, wait_for
from support.webhook import Push, Webhook, webhook

from app.storage.delivery import DeliveryQuery, State
from app.storage.sqlite.store import SQLiteStore

TOKEN = "token-" + "t" * 40
REDELIVERY_SECONDS = 90
IDLE_MESSAGES = rounds(400, 40)
HEAD = "From: ann@example.org\r\nTo: support@example.com\r\n"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """Return an application that gets messages."""
    with webhook() as made:
        yield made


def post(server: Server, number: int) -> str:
    """Deliver a message; return the id that the application is to see."""
    answer = server.deliver(f"{HEAD}Subject: {number}\r\n\r\nHello {number}\r\n")
    assert answer.status == 200
    return f"msg_{answer.json()['message_id']}"


def states(server: Server) -> Counter[State]:
    """Return how many deliveries are in each state."""
    with closing(SQLiteStore(server.data_dir)) as store:
        page = store.deliveries.find(DeliveryQuery(limit=10_000))
    return Counter(each.state for each in page.deliveries)


def test_what_is_stored_reaches_the_application(new_server: NewServer, hook: Webhook) -> None:
    """Once, with its content; log and metrics have the attempt."""
    server = new_server(webhook_url=hook.url).start()
    ids = [post(server, number) for number in range(20)]
    wait_for(lambda: states(server) == {State.DELIVERED: 20})
    assert sorted(hook.ids()) == sorted(ids)
    assert b"Hello 7" in next(push.body for push in hook.pushes if push.webhook_id == ids[7])
    lines = [line for line in server.log() if line.get("outcome") == "delivered"]
    assert len(lines) == 20
    assert {(line["endpoint"], line["status"], line["attempt"]) for line in lines} == {
        ("webhook", 200, 1)
    }
    found = wait_for(lambda: counted(server, 20))
    assert found.value("delivery_attempt_duration_seconds_count", endpoint="webhook") == 20
    assert found.value("deliveries", endpoint="webhook", state="delivered") == 20
    assert found.value("delivery_endpoint_state", endpoint="webhook", state="closed") == 1


def counted(server: Server, count: int) -> Samples | None:
    """Return the samples once so many attempts are counted, None before."""
    found = server.scrape()
    value = found.value("delivery_attempts_total", endpoint="webhook", outcome="delivered")
    return found if value == count else None


@pytest.mark.thorough
@pytest.mark.alone
@pytest.mark.promise("an idle server delivers at once")
def test_an_idle_server_delivers_at_once(
    new_server: NewServer, hook: Webhook, record_property: Callable[[str, object], None]
) -> None:
    """Half of the messages are at the application within 50 milliseconds after the commit.

    Measured from before they are handed in, so what storing takes is part of it.
    """
    server = new_server(webhook_url=hook.url).start()
    post(server, 0)
    wait_for(lambda: hook.pushes)
    seconds = []
    for number in range(1, IDLE_MESSAGES):
        time.sleep(random.uniform(0.03, 0.1))
        began = time.monotonic()
        post(server, number)
        wait_for(lambda: len(hook.pushes) == number + 1)  # noqa: B023
        seconds.append(hook.pushes[-1].at - began)
    p99 = sorted(seconds)[len(seconds) * 99 // 100]
    told = f"{len(seconds)} messages, p50 {median(seconds) * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"
    print(told)
    record_property("rounds", told)
    assert median(seconds) < 0.05


@pytest.mark.promise("a stop lets requests to endpoints finish, and keeps what came of them")
def test_a_drain_finishes_requests_and_begins_none(new_server: NewServer, hook: Webhook) -> None:
    """SIGTERM waits for the application's answer, and keeps the result: nothing is repeated."""
    server = new_server(webhook_url=hook.url).start()
    for number in range(8):  # so that as many are sent at once as may be
        post(server, number)
    wait_for(lambda: states(server) == {State.DELIVERED: 8})
    hook.forget()
    answer = threading.Event()
    hook.answer = lambda _: 200 if answer.wait(20) else 500
    ids = [post(server, number) for number in range(8, 38)]
    wait_for(lambda: len(hook.pushes) == 8)  # the endpoint's concurrency
    os.kill(server.pid, signal.SIGTERM)
    wait_for(lambda: server.request("GET", "/ready").status == 503)
    time.sleep(0.5)
    assert server.is_running()
    answer.set()
    assert server.wait(10) == 0
    assert len(hook.pushes) == 8
    assert states(server) == {State.DELIVERED: 16, State.PENDING: 22}
    server.start()
    wait_for(lambda: states(server) == {State.DELIVERED: 38})
    assert sorted(hook.ids()) == sorted(ids)


def test_a_drain_does_not_wait_for_ever(new_server: NewServer, hook: Webhook) -> None:
    """After shutdown_timeout a hanging application is left, and its delivery is still pending."""
    is_over = threading.Event()
    hook.answer = lambda _: 200 if is_over.wait(30) else 500
    server = new_server(webhook_url=hook.url, shutdown_timeout=2).start()
    post(server, 1)
    wait_for(lambda: hook.pushes)
    began = time.monotonic()
    assert server.stop() == 0
    is_over.set()
    assert 1.5 < time.monotonic() - began < 15
    assert states(server) == {State.PENDING: 1}
    assert any("cut off" in line["message"] for line in server.log())


@pytest.mark.thorough
@pytest.mark.promise("a message reaches its endpoint at least once, whatever is killed")
def test_a_killed_process_is_replaced_and_repeats(new_server: NewServer, hook: Webhook) -> None:
    """What it had under way arrives again within 90 seconds; what comes later is not held up."""
    is_over = threading.Event()
    hook.answer = lambda _: 200 if len(hook.pushes) > 1 or is_over.wait(100) else 500
    server = new_server(webhook_url=hook.url).start()
    first = post(server, 1)
    wait_for(lambda: hook.pushes)
    killed_at = time.monotonic()
    kill_process(wait_for(server.delivery_pid))
    second = post(server, 2)
    wait_for(lambda: second in hook.ids(), 5)
    wait_for(lambda: hook.ids().count(first) == 2, REDELIVERY_SECONDS)
    print(f"again after {time.monotonic() - killed_at:.1f} s")
    wait_for(lambda: states(server) == {State.DELIVERED: 2})
    is_over.set()


def reload(server: Server, old: int | None) -> int:
    """Send SIGHUP; return the process id of the next delivery process."""

    def successor() -> int | None:
        pids = server.delivery_pids()
        return next((pid for pid in reversed(pids) if pid != old), None)

    os.kill(server.pid, signal.SIGHUP)
    return wait_for(successor)


def test_a_reload_takes_endpoints_in_and_out(
    new_server: NewServer, tmp_path: Path, hook: Webhook
) -> None:
    """What is under way isn't cut off; one that is taken out keeps what was meant for it."""
    with webhook() as other:
        file = tmp_path / "gomail.yaml"
        write = settings_writer(file, TOKEN)
        write(endpoints=[{"name": "one", "url": hook.url}])
        server = new_server(config=file).start()
        answer = threading.Event()
        hook.answer = lambda _: 200 if answer.wait(20) else 500
        first = deliver(server)
        wait_for(lambda: hook.ids() == [first])
        old = wait_for(server.delivery_pid)
        write(endpoints=[{"name": "two", "url": other.url}])
        reload(server, old)
        second = wait_for(lambda: delivered_to(other, server), 15)
        assert lives(old)
        answer.set()
        wait_for(lambda: not lives(old))
        assert hook.ids() == [first]
        assert second not in hook.ids()
        assert states(server)[State.PENDING] == 0


def deliver(server: Server) -> str:
    """Deliver a message with TOKEN; return the id that the application is to see."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "message/rfc822"}
    raw = f"{HEAD}Subject: {time.monotonic()}\r\n\r\n"
    answer = server.request("POST", "/mail/inbound", raw, headers)
    assert answer.status == 200, answer.body
    return f"msg_{answer.json()['message_id']}"


def delivered_to(hook: Webhook, server: Server) -> str | None:
    """Deliver a message; return its id if it reaches `hook` within a second."""
    sent = deliver(server)
    until = time.monotonic() + 1
    while time.monotonic() < until:
        if sent in hook.ids():
            return sent
        time.sleep(0.02)
    return None


@contextmanager
def deliver_alone(server: Server) -> Iterator[subprocess.Popen[bytes]]:
    """Run `flask gomail deliver` with the settings of a server while it lasts."""
    output = server.output_file.with_name("deliver")
    with (
        output.open("wb") as file,
        subprocess.Popen(
            [FLASK, "gomail", "deliver"],
            cwd=CHECKOUT,
            env=server.environment,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        ) as process,
    ):
        try:
            wait_for(lambda: "Delivering to" in output.read_text())
            yield process
        finally:
            process.kill()
            print(output.read_text())


def answer_slowly(_push: Push) -> int:
    """Answer as an application does that works on the message first."""
    time.sleep(0.05)
    return 200


@pytest.mark.promise("several processes deliver, and repeat nothing")
def test_alone_beside_a_server(new_server: NewServer, hook: Webhook) -> None:
    """Both deliver, no message twice, also while one of them is stopped."""
    hook.answer = answer_slowly
    server = new_server(webhook_url=hook.url).start()
    with deliver_alone(server) as alone:
        ids = [post(server, number) for number in range(150)]
        alone.terminate()
        assert alone.wait(10) == 0
    wait_for(lambda: states(server) == {State.DELIVERED: 150}, 30)
    assert sorted(hook.ids()) == sorted(ids)
    text = server.output_file.with_name("deliver").read_text()
    assert '"outcome": "delivered"' in text


def test_alone_without_a_server(new_server: NewServer, hook: Webhook) -> None:
    """On a host of its own, with what a server has stored; a stop keeps the results."""
    server = new_server(webhook_url=hook.url).start()
    hook.answer = lambda _: 503
    ids = [post(server, number) for number in range(3)]
    wait_for(lambda: len(hook.pushes) >= 3)
    assert server.stop() == 0
    hook.pushes.clear()
    hook.answer = lambda _: 200
    with deliver_alone(server) as alone:
        wait_for(lambda: states(server) == {State.DELIVERED: 3}, 30)
        alone.send_signal(signal.SIGINT)
        assert alone.wait(10) == 0
    assert sorted(hook.ids()) == sorted(ids)


def test_alone_reloads(new_server: NewServer, tmp_path: Path, hook: Webhook) -> None:
    """SIGHUP puts a new configuration in force, or refuses it with a line that says why."""
    file = tmp_path / "gomail.yaml"
    write = settings_writer(file, TOKEN)
    write(endpoints=[{"name": "one", "url": "http://127.0.0.1:9/"}])
    server = new_server(config=file, workers=None).start()
    deliver(server)
    output = server.output_file.with_name("deliver")
    with deliver_alone(server) as alone:
        file.write_text("endpoints: 7\n")
        alone.send_signal(signal.SIGHUP)
        wait_for(lambda: "is refused" in output.read_text())
        assert server.stop() == 0
        write(endpoints=[{"name": "one", "url": hook.url}])
        alone.send_signal(signal.SIGHUP)
        wait_for(lambda: hook.pushes, 60)
        wait_for(lambda: states(server) == {State.DELIVERED: 1})


def test_nothing_to_deliver_to(new_server: NewServer) -> None:
    """Without an endpoint a server has no such process, and the command says what to set."""
    server = new_server().start()
    assert server.delivery_pid() is None
    done = server.gomail("deliver")
    assert done.returncode == 1
    assert b"webhook_url" in done.stderr
