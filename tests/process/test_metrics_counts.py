import http.client
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from support.samples import Samples
from support.server import Answer, NewServer, Server
from support.upload import Upload

from app.metrics.recorder import METHODS, OTHER_METHOD, UNMATCHED

pytestmark = pytest.mark.promise("counters equal what the clients have counted")

CLIENTS, ROUNDS = 4, 12
BURST = 100  # of the 14 * ROUNDS requests of each client to a limited path
INBOUND = "/mail/inbound"
ENDPOINTS = (INBOUND, "/email", "/health", "/ready", "/metrics", "/openapi.json")
STATUSES = {"200", "400", "401", "403", "404", "405", "413", "415", "422", "429"}


def mail(number: int, sender: str = "a@example.com", recipient: str = "b@example.com") -> bytes:
    """Return a message of its own, and of its own size, for each number."""
    head = f"From: {sender}\r\nTo: {recipient}\r\nSubject: {number}\r\n\r\n".encode()
    return head + b"x" * (number * 37 % 3000)


class Client:
    """Sends one of each kind of request, again and again, and keeps count of what it is told."""

    def __init__(self, server: Server, number: int) -> None:
        self._server = server
        self._number = number
        self._client = {"X-Real-IP": f"192.0.2.{number}"}
        self._token = {"Authorization": f"Bearer {server.token}"}
        self.requests = Counter[tuple[str, str, str]]()
        self.errors = Counter[tuple[str, str]]()
        self.stored_sizes: list[int] = []
        self.duplicates = 0
        self.answer_bytes = 0

    def run(self) -> None:
        """Send ROUNDS of all kinds."""
        for turn in range(ROUNDS):
            self._send_mail(turn)
            for content in (b"Subject: from nobody\r\n\r\n", bytes(20_001), b""):
                self._post(content)
            self._post(mail(0, sender="a@spam.example"))
            self._post(mail(0, recipient="b@elsewhere.example"))
            self._post(b"{", **{"Content-Type": "application/json"})
            self._post(mail(0), **{"Content-Type": "text/html"})
            self._post(mail(0), Authorization="Bearer wrong")
            for method, path in (("GET", INBOUND), ("GET", "/health"), ("GET", f"/{turn}")):
                self._count(method, path, self._request(method, path))
            self._count("PURGE", "/ready", self._request("PURGE", "/ready"))
            self._send_nonsense()

    def _send_mail(self, turn: int) -> None:
        raw = mail(self._number * ROUNDS + turn)
        for _ in range(3):
            answer = self._post(raw)
            if answer.status == 200 and answer.json()["duplicate"]:
                self.duplicates += 1
            elif answer.status == 200:
                self.stored_sizes.append(len(raw))

    def _post(self, body: bytes, **headers: str) -> Answer:
        fixed = {"Content-Type": "message/rfc822"} | self._token
        answer = self._request("POST", INBOUND, body, fixed | headers)
        self._count("POST", INBOUND, answer)
        return answer

    def _request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        return self._server.request(method, path, body, (headers or {}) | self._client)

    def _send_nonsense(self) -> None:
        with closing(self._server.connect()) as connection:
            connection.sendall(b"NONSENSE\r\n\r\n")
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            self._note(OTHER_METHOD, UNMATCHED, answer.status, answer.read())

    def _count(self, method: str, path: str, answer: Answer) -> None:
        endpoint = path if path in ENDPOINTS else UNMATCHED
        self._note(
            method if method in METHODS else OTHER_METHOD, endpoint, answer.status, answer.body
        )

    def _note(self, method: str, endpoint: str, status: int, body: bytes) -> None:
        self.requests[method, endpoint, str(status)] += 1
        self.answer_bytes += len(body)
        if status != 200:
            self.errors[json.loads(body)["code"], endpoint] += 1


Counted = tuple[list[Client], Samples, Samples]


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    """Return the clients of a load of all kinds, and samples from before and after."""
    with Server(
        tmp_path_factory.mktemp("counted"),
        max_message_size=20_000,
        blocked_domains="spam.example",
        allowed_recipient_domains="example.com",
        rate_limit_per_minute=1,
        rate_limit_burst=BURST,
    ) as server:
        server.start()
        before = server.scrape()
        clients = [Client(server, number) for number in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(Client.run, clients))
        yield clients, before, server.scrape()


def rises(counted: Counted, name: str, *labels: str) -> dict[tuple[str, ...], float]:
    """Return by how much each sample of `name` that did rise did so, by its `labels`."""
    _, before, after = counted
    found: dict[tuple[str, ...], float] = defaultdict(float)
    for key, value in after.matching(name).items():
        named = dict(key[1])
        found[tuple(named[label] for label in labels)] += value - before.values.get(key, 0)
    return {key: rise for key, rise in found.items() if rise > 0}


def total(counted: Counted, what: str) -> Any:
    """Return the sum of an attribute over all clients."""
    return sum((getattr(client, what) for client in counted[0]), Counter())


def test_every_request_is_counted_once(counted: Counted) -> None:
    """What four clients were told, of ten statuses, is what is counted, over both workers."""
    requests = total(counted, "requests")
    assert {status for _, _, status in requests} == STATUSES
    labels = ("method", "endpoint", "status")
    assert rises(counted, "http_requests_total", *labels) == requests
    assert rises(counted, "http_request_duration_seconds_count", *labels) == requests
    assert rises(counted, "http_response_size_bytes_count", *labels) == requests


def test_every_byte_of_an_answer_is_counted(counted: Counted) -> None:
    """The sum of http_response_size_bytes is what all clients have read."""
    read = sum(client.answer_bytes for client in counted[0])
    assert rises(counted, "http_response_size_bytes_sum") == {(): read}


def test_every_problem_is_counted_by_its_code(counted: Counted) -> None:
    """errors_total has the codes that the clients read, auth_failures_total those of 401."""
    errors = total(counted, "errors")
    assert rises(counted, "errors_total", "type", "endpoint") == errors
    assert rises(counted, "auth_failures_total") == {(): errors["unauthorized", INBOUND]}


def test_every_message_is_counted_by_what_became_of_it(counted: Counted) -> None:
    """Stored, duplicate and rejected; those that nobody looked at aren't messages."""
    sizes = [size for client in counted[0] for size in client.stored_sizes]
    duplicates = sum(client.duplicates for client in counted[0])
    errors = total(counted, "errors")
    unseen = ("unauthorized", "rate_limited", "method_not_allowed")
    rejected = sum(
        count
        for (code, endpoint), count in errors.items()
        if endpoint == INBOUND and code not in unseen
    )
    assert min(len(sizes), duplicates, rejected) > 0
    assert rises(counted, "emails_processed_total", "status") == {
        ("success",): len(sizes),
        ("duplicate",): duplicates,
        ("rejected",): rejected,
    }
    assert rises(counted, "email_size_bytes_count") == {(): len(sizes)}
    assert rises(counted, "email_size_bytes_sum") == {(): sum(sizes)}
    assert rises(counted, "email_processing_duration_seconds_count") == {(): len(sizes)}


def test_every_operation_of_the_store_is_counted(counted: Counted) -> None:
    """An add for each message stored or found, a check for each question after the health."""
    answered = total(counted, "requests")
    assert rises(counted, "storage_operations_total", "operation", "status") == {
        ("add", "success"): answered["POST", INBOUND, "200"],
        ("check", "success"): answered["GET", "/health", "200"],
    }


def test_every_decision_of_the_rate_limit_is_counted(counted: Counted) -> None:
    """A client's first requests were allowed, all others denied; public routes don't count."""
    limited = Counter[str]()
    for (_, endpoint, status), count in total(counted, "requests").items():
        is_unparsed = endpoint == UNMATCHED and status == "400"
        if endpoint in {INBOUND, UNMATCHED} and not is_unparsed:
            limited["denied" if status == "429" else "allowed"] += count
    assert limited["allowed"] == CLIENTS * BURST
    assert rises(counted, "rate_limit_hits_total", "action") == {
        (action,): count for action, count in limited.items()
    }


def test_both_workers_have_counted(counted: Counted) -> None:
    """There are runtime series of two workers and the master, and both workers have worked."""
    cpu = rises(counted, "process_cpu_seconds_total", "worker")
    assert {("0",), ("1",)} <= cpu.keys() <= {("0",), ("1",), ("master",)}
    _, _, after = counted
    assert set(after.by("worker", "process_start_time_seconds")) == {"0", "1", "master"}


def test_slow_clients_are_counted_by_endpoint(new_server: NewServer) -> None:
    """A body that doesn't come is one of its endpoint, a head that doesn't come of none."""
    server = new_server(read_timeout=2, handler_timeout=1).start()
    with closing(server.connect()) as silent, closing(Upload(server)) as upload:
        silent.sendall(b"POST /mail/inbound HTTP/1.1\r\nX-Slow: ")
        assert upload.answer().status == 408
        assert silent.recv(1) == b""
    after = server.scrape()
    assert after.by("endpoint", "timeouts_total") == {INBOUND: 1, UNMATCHED: 1}
    assert after.by("endpoint", "errors_total", type="timeout") == {INBOUND: 1}
    assert after.by("status", "emails_processed_total") == {"error": 1}
