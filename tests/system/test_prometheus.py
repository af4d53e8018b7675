"""A real Prometheus scrapes a real server."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

import pytest
from support.hosts import start_hosts
from support.plain_mail import plain_mail
from support.prometheus_server import PrometheusServer
from support.promql import expressions, metric, metric_names, recorded
from support.requirement import require_program
from support.seaweedfs_server import SeaweedFSServer
from support.server import Answer, NewServer, Server, wait_for
from support.webhook import webhook

CLIENTS = 6
ROUNDS = 40


class Client:
    """Sends a mix of requests and counts what it was answered."""

    def __init__(self, server: Server, number: int) -> None:
        self.server = server
        self.number = number
        self.counts = Counter[str | tuple[str, str, str]]()
        self.stored_bytes = 0

    def run(self) -> Self:
        for number in range(ROUNDS):
            self._deliver(number)
            self._note("GET", "/health", self.server.request("GET", "/health"))
            self._note("GET", "unmatched", self.server.request("GET", f"/{self.number}-{number}"))
            refused = self.server.request("POST", "/mail/inbound", b"x")
            self._note("POST", "/mail/inbound", refused)
        return self

    def _deliver(self, number: int) -> None:
        raw = plain_mail(f"{self.number}-{number}", bytes(700 * number))
        for _ in range(2):  # the second is a duplicate
            answer = self.server.deliver(raw)
            self._note("POST", "/mail/inbound", answer)
            if answer.status == 200:
                duplicate = answer.json()["duplicate"]
                self.counts["duplicate" if duplicate else "success"] += 1
                self.stored_bytes += 0 if duplicate else len(raw)

    def _note(self, method: str, endpoint: str, answer: Answer) -> None:
        self.counts[method, endpoint, str(answer.status)] += 1


@pytest.fixture
def prometheus(server: Server, tmp_path: Path) -> Iterator[PrometheusServer]:
    directory = tmp_path / "prometheus"
    directory.mkdir()
    with PrometheusServer(directory, server) as prometheus:
        yield prometheus


@pytest.mark.promise("counters equal what the clients have counted")
def test_prometheus_counts_what_the_clients_have_counted(
    server: Server, prometheus: PrometheusServer
) -> None:
    """PromQL's answers after a load equal the clients' own counts, to the request."""
    clients = [Client(server, number) for number in range(CLIENTS)]
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(Client.run, clients))
    prometheus.wait_for_scrape()

    counts = sum((client.counts for client in clients), Counter())
    by_request = {key: count for key, count in counts.items() if isinstance(key, tuple)}
    seen = prometheus.query('http_requests_total{endpoint!="/ready"}')
    assert {
        (labels["method"], labels["endpoint"], labels["status"]): value for labels, value in seen
    } == by_request
    assert by_request["POST", "/mail/inbound", "401"] == CLIENTS * ROUNDS
    assert prometheus.value('emails_processed_total{status="success"}') == counts["success"]
    assert prometheus.value('emails_processed_total{status="duplicate"}') == counts["duplicate"]
    stored_bytes = sum(client.stored_bytes for client in clients)
    assert prometheus.value("email_size_bytes_sum") == stored_bytes
    assert prometheus.value("email_processing_duration_seconds_count") == counts["success"]
    assert prometheus.value("auth_failures_total") == CLIENTS * ROUNDS
    assert prometheus.value("http_active_requests") == 0
    assert prometheus.value("min_over_time(up[1h])") == 1


@pytest.fixture
def delivering(new_server: NewServer) -> Iterator[Server]:
    """Yield a server whose endpoint has refused a message, which is pending now."""
    with webhook() as application:
        application.answer = lambda _: 503
        server = new_server(webhook_url=application.url).start()
        server.deliver(plain_mail("one", b"body"))
        wait_for(lambda: server.scrape().value("delivery_attempts_total"))
        yield server


def test_promtool_has_nothing_to_say_against_the_metrics(delivering: Server) -> None:
    """Names, types and help texts are as Prometheus wants them."""
    server = delivering
    checked = subprocess.run(
        [require_program("promtool"), "check", "metrics"],
        input=server.get_metrics().body,
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_whatever_is_asked_about_is_exported(
    delivering: Server, new_server: NewServer, database_url: str, seaweedfs: SeaweedFSServer
) -> None:
    """Each metric in a dashboard, a rule or an alert is one that a server really tells.

    Some are only told by one with a database and an object store.
    """
    objects = seaweedfs.settings("metrics")
    hosts = start_hosts(
        new_server,
        database_url,
        count=1,
        object_store_url=objects.url,
        object_store_endpoint=objects.endpoint,
        object_store_access_key_id=objects.access_key_id,
        object_store_secret_access_key=objects.secret_access_key,
    )
    servers = (delivering, *hosts)
    exported = {metric(name) for server in servers for name, _ in server.scrape().values}
    asked = {name for text in expressions().values() for name in metric_names(text)}
    assert "http_requests_total" in asked
    assert asked - recorded() - {"up"} <= exported
