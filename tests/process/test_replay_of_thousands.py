"""Replays that take a while, amid live mail and a restart."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.configured import settings_writer
from support.old_mail import store_old_mail
from support.rounds import rounds
from support.server import NewServer, Server, wait_for
from support.webhook import Push, Webhook, webhook

MESSAGES = rounds(5_000, 300)
ANSWER_SECONDS = rounds(0.02, 0.1)
LIVE = rounds(30, 8)
LIVE_SECONDS = 0.05
MOST_SECONDS = 1
ARRIVAL_SECONDS = 120
BEFORE = 50
TOKEN = "token-" + "t" * 40

pytestmark = pytest.mark.thorough


@pytest.fixture
def hook() -> Iterator[Webhook]:
    """Return an application that gets messages."""
    with webhook() as made:
        yield made


def answer_slowly(_push: Push) -> int:
    """Answer as an application does that works on the message first."""
    time.sleep(ANSWER_SECONDS)
    return 200


def post(server: Server, number: int) -> str:
    """Hand in a message; return the id that the application is to see."""
    head = "From: ann@example.org\r\nTo: bob@example.com"
    answer = server.deliver(f"{head}\r\nSubject: {number}\r\n\r\nHello\r\n")
    assert answer.status == 200, answer.body
    return f"msg_{answer.json()['message_id']}"


def post_live(server: Server, hook: Webhook, first: int) -> dict[str, float]:
    """Hand in LIVE messages, one after the other; return how long each took to be answered."""
    stored_at = {}
    for number in range(first, first + LIVE):
        stored_at[post(server, number)] = time.monotonic()
        time.sleep(LIVE_SECONDS)
    wait_for(lambda: stored_at.keys() <= hook.answered_at.keys())
    return {each: hook.answered_at[each] - at for each, at in stored_at.items()}


def replay(server: Server, endpoint: str) -> str:
    """Return what the command prints that replays the mail of the last days to `endpoint`."""
    done = server.gomail("deliveries", "replay", "--endpoint", endpoint, "--since", "3d")
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


@pytest.mark.alone
@pytest.mark.promise("what an endpoint has missed can be sent again")
def test_a_long_replay_survives_a_restart_and_delays_no_live_mail(
    new_server: NewServer, hook: Webhook, record_property: Callable[[str, object], None]
) -> None:
    """Each message arrives once, though the server stops amid them; live mail goes first."""
    server = new_server(webhook_url=hook.url, log_level="warning")
    missed = {f"msg_{each}" for each in store_old_mail(server.data_dir, MESSAGES, 2, b"missed")}
    server.start()
    hook.answer = answer_slowly
    assert replay(server, "webhook") == f"Replaying {MESSAGES} messages to webhook\n"
    wait_for(lambda: hook.pushes)
    took = post_live(server, hook, 0)
    assert server.stop() == 0
    at_the_stop = len(missed & hook.answered_at.keys())
    assert 0 < at_the_stop < MESSAGES
    server.start()
    took |= post_live(server, hook, LIVE)
    wait_for(lambda: missed <= hook.answered_at.keys(), ARRIVAL_SECONDS)
    assert Counter(hook.ids()) == dict.fromkeys(missed | took.keys(), 1)
    slowest = max(took.values())
    told = (
        f"{MESSAGES} messages, {at_the_stop} of them before the restart;"
        f" {len(took)} live ones, the slowest answered after {slowest * 1000:.0f} ms"
    )
    print(told)
    record_property("rounds", told)
    assert slowest < MOST_SECONDS


@pytest.mark.promise("what an endpoint has missed can be sent again")
def test_an_endpoint_that_is_added_gets_what_came_before(
    new_server: NewServer, tmp_path: Path, hook: Webhook
) -> None:
    """All of it, once; the endpoint that was there before gets nothing again."""
    write = settings_writer(tmp_path / "gomail.yaml", TOKEN)
    old = {"name": "old", "url": hook.url}
    write(endpoints=[old])
    server = new_server(config=tmp_path / "gomail.yaml", bearer_token=TOKEN).start()
    earlier = [post(server, number) for number in range(BEFORE)]
    wait_for(lambda: len(hook.accepted) == BEFORE)
    with webhook() as added:
        write(endpoints=[old, {"name": "added", "url": added.url}])
        os.kill(server.pid, signal.SIGHUP)
        assert replay(server, "added") == f"Replaying {BEFORE} messages to added\n"
        wait_for(lambda: len(added.accepted) == BEFORE, 30)
        assert sorted(added.ids()) == sorted(earlier)
    assert sorted(hook.ids()) == sorted(earlier)
