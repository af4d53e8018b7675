"""What people see and decide of deliveries, with a real server that delivers meanwhile."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.server import NewServer, Server, wait_for
from support.webhook import Webhook, webhook

from app.storage.delivery import Result, State
from app.storage.sqlite.store import SQLiteStore

MANY = 200


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """Return an application that gets messages."""
    with webhook() as made:
        yield made


@pytest.fixture
def server(new_server: NewServer, hook: Webhook) -> Server:
    """Return a running server that delivers to it."""
    return new_server(webhook_url=hook.url).start()


def post(server: Server, number: int = 0) -> str:
    """Deliver a message; return the id that the application is to see."""
    head = "From: ann@example.org\r\nTo: bob@example.com"
    answer = server.deliver(f"{head}\r\nSubject: {number}\r\n\r\nHello\r\n")
    assert answer.status == 200
    return f"msg_{answer.json()['message_id']}"


def ask(server: Server, path: str, method: str = "GET", body: object = None) -> Any:
    """Return the answer of the API."""
    headers = {"Authorization": f"Bearer {server.api_token}", "Content-Type": "application/json"}
    sent = None if body is None else json.dumps(body)
    answer = server.request(method, path, sent, headers)
    assert answer.status in {200, 202}, answer.body
    return answer.json()


def gomail(server: Server, *arguments: object) -> str:
    """Return what a command prints, which must end well."""
    done = server.gomail(*arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def in_state(server: Server, state: str) -> list[dict[str, Any]]:
    """Return the deliveries in a state, as the API lists them."""
    found: list[dict[str, Any]] = ask(server, f"/deliveries?state={state}&limit=200")["deliveries"]
    return found


def bury(server: Server) -> int:
    """Let all pending deliveries be dead, as after five days; return how many there were."""
    with closing(SQLiteStore(server.data_dir)) as store:
        future = datetime.now(UTC) + timedelta(days=9)
        queue, count = store.deliveries, 0
        while claims := queue.claim(
            "webhook", 64, future, future + timedelta(days=1), replays=False, in_order=False
        ):
            dead = [Result(each, State.DEAD, None, False, None, "exhausted") for each in claims]
            count += queue.finish(dead)
        return count


def test_it_says_whether_they_got_it(server: Server, hook: Webhook) -> None:
    """A message arrives, and is listed as delivered, with the attempt that the application saw."""
    sent = post(server)
    wait_for(lambda: hook.ids() == [sent])
    [delivery] = wait_for(lambda: in_state(server, "delivered"))
    assert (delivery["webhook_id"], delivery["attempt_count"]) == (sent, 1)
    shown = ask(server, f"/deliveries/{delivery['id']}")
    [attempt] = shown["attempts"]
    assert (attempt["status"], attempt["address"], attempt["error"]) == (200, "127.0.0.1", None)
    printed = gomail(server, "deliveries", "show", delivery["id"])
    assert "State: delivered\n" in printed
    assert "127.0.0.1, status 200" in printed
    listed = json.loads(gomail(server, "deliveries", "list", "--json", "--state", "delivered"))
    assert [each["id"] for each in listed] == [delivery["id"]]
    [line] = [line for line in server.log() if line.get("outcome") == "delivered"]
    assert line["delivery"] == delivery["id"]


@pytest.mark.promise("what an endpoint has missed can be sent again")
def test_a_failing_application_is_seen_then_gets_what_was_dead(
    server: Server, hook: Webhook
) -> None:
    """Why, and that it is spared; once it is mended, a command brings back what was given up."""
    hook.answer = lambda _: 503
    sent = [post(server, number) for number in range(10)]
    endpoint = wait_for(lambda: open_endpoint(server))
    assert (endpoint["name"], endpoint["reason"]) == ("webhook", "server_error")
    assert "open (server_error)" in gomail(server, "endpoints", "list")
    assert in_state(server, "pending")
    server.stop()  # it claims nothing meanwhile
    assert bury(server) == 10
    hook.answer = lambda _: 200
    hook.pushes.clear()
    server.start()
    assert len(in_state(server, "dead")) == 10
    assert gomail(server, "deliveries", "retry", "--endpoint", "webhook") == (
        "Retrying 10 deliveries\n"
    )
    wait_for(lambda: len(in_state(server, "delivered")) == 10)
    assert sorted(hook.ids()) == sorted(sent)
    assert ask(server, "/endpoints")["endpoints"][0]["state"] == "closed"


def open_endpoint(server: Server) -> dict[str, Any] | None:
    """Return the endpoint once its breaker is open."""
    [endpoint] = ask(server, "/endpoints")["endpoints"]
    return endpoint if endpoint["state"] == "open" else None


@pytest.mark.promise("what is given up or paused is not sent")
def test_a_pause_holds_until_it_is_resumed(server: Server, hook: Webhook) -> None:
    """Through a restart, too; what came meanwhile is sent then, and has spent no attempt."""
    assert gomail(server, "endpoints", "pause", "webhook") == "webhook is paused\n"
    wait_for(lambda: is_obeyed(server, hook))
    hook.pushes.clear()
    sent = [post(server, number) for number in range(5)]
    server.stop()
    server.start()
    wait_for(server.delivery_pid)
    [endpoint] = ask(server, "/endpoints")["endpoints"]
    assert (endpoint["state"], endpoint["reason"]) == ("paused", "requested")
    waiting = [each for each in in_state(server, "pending") if each["webhook_id"] in sent]
    assert [each["attempt_count"] for each in waiting] == [0] * 5
    assert hook.ids() == []
    assert ask(server, "/endpoints/webhook/resume", "POST")["state"] == "closed"
    wait_for(lambda: set(sent) <= set(hook.ids()))


def is_obeyed(server: Server, hook: Webhook) -> bool:
    """Return whether a message isn't sent though there is time enough."""
    sent = post(server, 100 + len(hook.pushes))
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        if sent in hook.ids():
            return False
        time.sleep(0.02)
    return True


@pytest.mark.promise("what an endpoint has missed can be sent again")
def test_a_replay_goes_on_after_a_restart(server: Server, hook: Webhook) -> None:
    """Each of 200 messages arrives again: none is left out, whenever the server was stopped."""
    sent = [post(server, number) for number in range(MANY)]
    wait_for(lambda: len(in_state(server, "delivered")) == MANY, 30)
    hook.pushes.clear()
    asked = {"endpoint": "webhook", "since": "2026-01-01", "rate": 60}
    assert ask(server, "/replays", "POST", asked | {"dry_run": True})["messages"] == MANY
    assert ask(server, "/replays", "POST", asked)["messages"] == MANY
    wait_for(lambda: len(hook.pushes) > MANY // 10)
    server.stop()
    at_the_stop = len(set(hook.ids()))
    assert at_the_stop < MANY
    server.start()
    wait_for(lambda: len(set(hook.ids())) == MANY, 30)
    assert set(hook.ids()) == set(sent)
    wait_for(lambda: ask(server, "/endpoints")["endpoints"][0]["replays"] == 0)
    assert len(hook.ids()) == MANY
    page = json.loads(gomail(server, "deliveries", "list", "--json", "--limit", 2 * MANY))
    assert [each["is_replay"] for each in page] == [True] * MANY + [False] * MANY


@pytest.mark.promise("what an endpoint has missed can be sent again")
def test_a_retry_of_many_survives_a_restart(server: Server, hook: Webhook) -> None:
    """200 that were delivered are sent once more, though the server stops in between."""
    sent = [post(server, number) for number in range(MANY)]
    wait_for(lambda: len(in_state(server, "delivered")) == MANY, 30)
    server.stop()
    hook.pushes.clear()
    told = gomail(server, "deliveries", "retry", "--state", "delivered")
    assert told == f"Retrying {MANY} deliveries\n"
    server.start()
    wait_for(lambda: len(in_state(server, "delivered")) == MANY, 30)
    assert sorted(hook.ids()) == sorted(sent)


@pytest.mark.promise("what is given up or paused is not sent")
def test_what_is_given_up_is_not_sent(server: Server, hook: Webhook) -> None:
    """Though its next attempt was due in a moment."""
    hook.answer = lambda _: 400
    post(server)
    [delivery] = wait_for(lambda: [each for each in in_state(server, "pending") if each["reason"]])
    assert ask(server, f"/deliveries/{delivery['id']}/discard", "POST")["state"] == "discarded"
    hook.answer = lambda _: 200
    seen = len(hook.pushes)
    assert gomail(server, "endpoints", "test", "webhook").startswith("ok: ")
    assert ask(server, "/endpoints/webhook/test", "POST")["delivered"]
    wait_for(lambda: len(hook.pushes) == seen + 2)  # the samples alone
    due_at = datetime.fromisoformat(delivery["next_attempt_at"])
    wait_for(lambda: datetime.now(UTC) > due_at + timedelta(seconds=1), 15)
    assert len(hook.pushes) == seen + 2
    assert gomail(server, "deliveries", "retry", delivery["id"]) == "Retrying 1 delivery\n"
    wait_for(lambda: in_state(server, "delivered"))
