"""Deliveries while everything that has to do with them is killed."""

import http.client
import json
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError
from support.configured import settings_writer
from support.linux_process import kill_process
from support.plain_mail import plain_mail
from support.rounds import rounds
from support.server import NewServer, Server, free_port, wait_for
from support.webhook import Answer, Push, webhook

from app.storage.delivery import DeliveryQuery, State
from app.storage.sqlite.store import SQLiteStore

TOKEN = "token-" + "t" * 40
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGES = rounds(10_000, 300)
KILLS = rounds(30, 4)
DOWN_SECONDS = rounds(60, 10)
CLIENTS = 6
ARRIVAL_SECONDS = 900
RETRY_SECONDS = 3
CONCURRENCY = 8
GATHERED = 64
"""How many results of an endpoint may be gathered and not kept yet when a process is killed."""
UNKEPT_SECONDS = 1
"""How long ago a request may have been that a kill takes the result of; 0.05 and a commit."""
IN_FLIGHT_SECONDS = 1
"""How long after a kill the application may read what was sent before it."""
SEED = 17
FORMATS = {"well": "message", "failing": "raw", "late": "raw"}


class Applications:
    """One that is well, one that fails half the time, and one that is down until it is opened."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._late_port = free_port()
        self._verifier = Verifier(SECRET)
        self.unverified: list[Push] = []
        answers = {"well": accept, "failing": failing_half_the_time()}
        self.running = {name: stack.enter_context(webhook()) for name in answers}
        for name, answer in answers.items():
            self.running[name].answer = self._verifying(answer)

    def urls(self) -> Mapping[str, str]:
        """Return where they are, by name."""
        urls = {name: hook.url for name, hook in self.running.items()}
        return urls | {"late": f"http://127.0.0.1:{self._late_port}/mail"}

    def open(self) -> None:
        """Let the one that is down answer from now on."""
        self.running["late"] = self._stack.enter_context(webhook(self._late_port))
        self.running["late"].answer = self._verifying(accept)

    def _verifying(self, answer: Answer) -> Answer:
        """Return the answer of one that verifies first, at once: a timestamp has five minutes."""

        def verify_and_answer(push: Push) -> int:
            try:
                self._verifier.verify(push.body, dict(push.headers), json_parse=False)
            except WebhookVerificationError:
                self.unverified.append(push)
            return answer(push)

        return verify_and_answer


def accept(_push: Push) -> int:
    """Answer as one that is well."""
    return 200


def failing_half_the_time() -> Answer:
    """Return an answer that refuses, or fails, every other time by chance."""
    dice, lock = random.Random(SEED), threading.Lock()

    def answer(_push: Push) -> int:
        with lock:
            return dice.choice([200, 200, 400, 503])

    return answer


@pytest.fixture
def applications() -> Iterator[Applications]:
    """Return the three."""
    with ExitStack() as stack:
        yield Applications(stack)


def message(number: int) -> bytes:
    """Return a message of its own for each number, in ASCII as the verifying library demands."""
    dice = random.Random(number)
    return plain_mail(f"number {number}", dice.randbytes(dice.randrange(100, 4000)).hex().encode())


def post(server: Server, number: int) -> str:
    """Deliver a message until it is acknowledged; return its id."""
    headers = {
        "Authorization": f"Bearer {TOKEN}",
        "Content-Type": "message/rfc822",
        "X-Original-Sender": "ann@example.org",
        "X-Original-Recipient": "bob@example.com",
        "Idempotency-Key": f"key-{number}",
    }
    while True:
        with suppress(OSError, http.client.HTTPException):
            answer = server.request("POST", "/mail/inbound", message(number), headers)
            if answer.status == 200:
                return str(answer.json()["message_id"])
        time.sleep(0.05)


class Kill(NamedTuple):
    """Which process, and when it was gone (time.monotonic)."""

    victim: str
    at: float

    def explains(self, accepted_at: float) -> bool:
        """Return whether it may have taken the result of a request that was accepted then."""
        since = self.at - UNKEPT_SECONDS
        return self.victim != "worker" and since <= accepted_at <= self.at + IN_FLIGHT_SECONDS


def kill_amid(server: Server, posted: Mapping[int, str]) -> list[Kill]:
    """Kill a process KILLS times, spread over all messages; return what was hit."""
    dice, kills = random.Random(SEED), list[Kill]()
    for number in range(1, KILLS + 1):
        wait_for(lambda: len(posted) >= number * MESSAGES // (KILLS + 1), 600)  # noqa: B023
        victim = ("deliveries", "worker", "deliveries", "master")[number % 4]
        if victim == "master":
            server.kill()
        else:
            pids = wait_for(server.delivery_pids if victim == "deliveries" else server.worker_pids)
            kill_process(dice.choice(pids))
        kills.append(Kill(victim, time.monotonic()))
        if victim == "master":
            server.start()
    return kills


def wait_until_delivered(server: Server) -> None:
    """Wait until nothing is pending; what has failed is tried again every few seconds.

    By the schedule alone, those that fail five times by chance would take an hour.
    """
    deadline = time.monotonic() + ARRIVAL_SECONDS
    pending = DeliveryQuery(state=State.PENDING, limit=500)
    with closing(SQLiteStore(server.data_dir)) as store:
        while found := store.deliveries.find(pending).deliveries:
            assert time.monotonic() < deadline, f"{len(found)} are still pending"
            # Not what may be delivered meanwhile, which would be sent once more.
            later = datetime.now(UTC) + timedelta(seconds=RETRY_SECONDS)
            numbers = [each.number for each in found if each.due_at and each.due_at > later]
            store.deliveries.retry(numbers, datetime.now(UTC))
            time.sleep(RETRY_SECONDS)


@pytest.mark.promise("a message reaches its endpoint at least once, whatever is killed")
def test_every_message_reaches_every_endpoint(
    new_server: NewServer,
    tmp_path: Path,
    applications: Applications,
    record_property: Callable[[str, object], None],
) -> None:
    """SIGKILL at delivery processes, workers and masters: nothing is missing, little is repeated.

    Bytes are equal, and the library of Standard Webhooks verifies each signature.
    """
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    file = tmp_path / "gomail.yaml"
    settings_writer(file, TOKEN)(
        rate_limit_per_minute=0,
        log_level="warning",
        endpoints=[
            {"name": name, "url": url, "secret_file": str(secret), "format": FORMATS[name]}
            for name, url in applications.urls().items()
        ],
    )
    server = new_server(config=file, rate_limit_per_minute=None).start()
    posted: dict[int, str] = {}
    numbers = count()

    def work(_client: int) -> None:
        while (number := next(numbers)) < MESSAGES:
            posted[number] = post(server, number)

    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        killing = pool.submit(kill_amid, server, posted)
        list(pool.map(work, range(CLIENTS)))
        kills = killing.result()
    time.sleep(max(began + DOWN_SECONDS - time.monotonic(), 0))
    applications.open()
    wait_until_delivered(server)
    check(applications, posted, kills, record_property)


def content_of(push: Push, form: str) -> bytes:
    """Return the message that an application got."""
    if form == "raw":
        return push.body
    data = json.loads(push.body)["data"]
    head = "".join(f"{name}: {value}\r\n" for name, value in data["headers"])
    return f"{head}\r\n{data['text']}".encode()


def check(
    applications: Applications,
    posted: Mapping[int, str],
    kills: Sequence[Kill],
    record_property: Callable[[str, object], None],
) -> None:
    """Check what has arrived at each application."""
    expected = {f"msg_{message_id}": number for number, message_id in posted.items()}
    assert applications.unverified == []
    repeated: list[Push] = []
    for name, hook in applications.running.items():
        accepted_at: dict[str, float] = {}
        for push in hook.accepted:
            before = accepted_at.get(push.webhook_id)
            if before is not None:
                repeated.append(push)
                assert any(kill.explains(before) for kill in kills), "repeated without a reason"
            accepted_at[push.webhook_id] = push.at
        assert accepted_at.keys() == expected.keys(), name
        for push in hook.pushes:
            assert content_of(push, FORMATS[name]) == message(expected[push.webhook_id])
    hit = Counter(kill.victim for kill in kills)
    told = f"{hit.total()} kills, {len(posted)} messages to each of 3, {len(repeated)} repeats"
    record_property("rounds", told)
    print(dict(hit), told)
    killed = hit["deliveries"] + hit["master"]
    assert len(repeated) <= killed * len(applications.running) * (CONCURRENCY + GATHERED)
