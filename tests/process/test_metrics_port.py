import os
import signal
import socket
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from support.linux_process import children, kill_process, threads
from support.server import NewServer, Server, wait_for
from support.upload import MESSAGE

from app.server.metrics_server import RETRY_SECONDS
from app.web.metrics_port import CONNECTION_SECONDS, MOST_CONNECTIONS

OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


def directories(pid: int) -> set[Path]:
    """Return the directories of metrics files that the process `pid` keeps open."""
    found = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = link.readlink()
        except FileNotFoundError:
            continue
        if target.name.startswith("gomail-metrics-"):
            found.add(target)
    return found


def listening(port: int) -> list[str]:
    """Return the addresses, as Linux writes them in hexadecimal, that listen on `port`."""
    lines = []
    for table in ("tcp", "tcp6"):
        lines += Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]
    fields = [line.split() for line in lines]
    return [
        local.split(":")[0]
        for _, local, _, state, *_ in fields
        if state == "0A" and int(local.split(":")[1], 16) == port
    ]


@pytest.mark.parametrize("path", ["/", "/metrics/", "/health", "/mail/inbound", "/metricsx"])
def test_nothing_else_is_answered(shared_server: Server, path: str) -> None:
    """Any other path is a 404."""
    assert shared_server.get_metrics(path).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_nothing_can_be_changed(shared_server: Server, method: str) -> None:
    """Methods other than GET aren't allowed."""
    assert shared_server.get_metrics(method=method).status == 405


def test_the_path_is_configurable(new_server: NewServer) -> None:
    """The metrics are at metrics_path, and no more at /metrics."""
    server = new_server(metrics_path="/internal/prometheus").start()
    wait_for(lambda: listening(server.metrics_port))
    assert server.scrape("/internal/prometheus").value("server_draining") == 0
    assert server.get_metrics("/metrics").status == 404


def test_the_text_format_is_the_default(shared_server: Server) -> None:
    """Who doesn't ask for anything gets what every Prometheus reads."""
    answer = shared_server.get_metrics()
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert b"# TYPE http_requests_total counter\n" in answer.body
    assert b"# EOF" not in answer.body


def test_openmetrics_is_there_for_who_asks(shared_server: Server) -> None:
    """With its type in Accept, the answer is OpenMetrics to its last line."""
    answer = shared_server.get_metrics(headers=OPEN_METRICS)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=")
    assert b"# TYPE http_requests counter\n" in answer.body
    assert answer.body.endswith(b"\n# EOF\n")


def test_some_metrics_can_be_asked_for(shared_server: Server) -> None:
    """name[] limits the answer to the metrics that are named."""
    found = shared_server.scrape("/metrics?name[]=build_info&name[]=server_draining")
    assert sorted(family.name for family in found.families) == ["build_info", "server_draining"]


def test_versions_are_nobodys_business(shared_server: Server) -> None:
    """The header Server names neither library nor interpreter."""
    assert shared_server.get_metrics().headers["Server"] == "gomail"


@pytest.mark.parametrize("name", ["PROMETHEUS_MULTIPROC_DIR", "prometheus_multiproc_dir"])
def test_the_directory_of_another_service_is_not_shown(
    new_server: NewServer, tmp_path: Path, name: str
) -> None:
    """What the environment has for other programs of prometheus_client changes nothing."""
    server = new_server()
    server.environment[name] = str(tmp_path)
    server.start()
    assert server.deliver(MESSAGE).status == 200
    assert server.scrape().value("emails_processed_total", status="success") == 1


def test_the_default_is_loopback_only(shared_server: Server) -> None:
    """Nobody from outside reaches the metrics unless metrics_host says so."""
    assert listening(shared_server.metrics_port) == ["0100007F"]


def test_the_port_is_with_its_process_only(shared_server: Server) -> None:
    """The children of the master are the workers, retention, and one process more."""
    workers = shared_server.worker_pids()
    assert len(workers) == 2
    others = [shared_server.metrics_pid(), shared_server.retention_pid()]
    assert None not in others
    assert sorted(children(shared_server.pid)) == sorted([*workers, *filter(None, others)])


def test_what_is_off_costs_nothing(new_server: NewServer) -> None:
    """With metrics_enabled=false: no port, no directory, no process, and mail as usual."""
    server = new_server(metrics_enabled="false").start()
    assert server.deliver(MESSAGE).status == 200
    assert server.request("GET", "/metrics").json()["total_emails"] == 1
    assert listening(server.metrics_port) == []
    assert [directories(pid) for pid in (server.pid, *server.worker_pids())] == [set()] * 3
    assert set(children(server.pid)) == {*server.worker_pids(), server.retention_pid()}
    assert len(server.worker_pids()) == 2


def test_what_is_on_has_one_directory(server: Server) -> None:
    """It is for nobody else to read, and all workers count in it."""
    [directory] = directories(server.pid)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert directory.stat().st_uid == os.geteuid()
    assert {file.name for file in directory.iterdir()} == {
        f"{kind}_{slot}.db" for kind in ("counter", "gauge_livesum", "histogram") for slot in (0, 1)
    }


def error_lines(server: Server) -> list[str]:
    """Return the messages of the errors in the log."""
    return [line["message"] for line in server.log() if line["level"] == "ERROR"]


def can_be_scraped(server: Server) -> bool:
    """Tell whether the metrics port answers."""
    try:
        return server.get_metrics(seconds=2).status == 200
    except OSError:
        return False


def test_a_port_that_is_lost_delays_no_mail(new_server: NewServer) -> None:
    """The log names the address in one line; once it is free, what was counted is told."""
    server = new_server().start()
    with closing(take_metrics_port(server)):
        [line] = wait_for(lambda: error_lines(server))
        assert f"127.0.0.1:{server.metrics_port}" in line
        assert server.deliver(MESSAGE).status == 200
        threading.Event().wait(3 * RETRY_SECONDS)  # attempts that are to leave no line
    wait_for(lambda: can_be_scraped(server), 5)
    assert server.scrape().value("emails_processed_total", status="success") == 1
    assert error_lines(server) == [line]


def take_metrics_port(server: Server) -> socket.socket:
    """Return a socket that listens on the metrics port, whose process has been killed."""
    os.kill(server.pid, signal.SIGSTOP)  # it would start another process at once
    try:
        pid = server.metrics_pid()
        assert pid is not None
        kill_process(pid)
        return wait_for(lambda: listener(server.metrics_port))
    finally:
        os.kill(server.pid, signal.SIGCONT)


def listener(port: int) -> socket.socket | None:
    """Return a socket that listens on `port`; None while it is in use."""
    with suppress(OSError):
        return socket.create_server(("127.0.0.1", port))
    return None


@pytest.mark.parametrize(
    "sent", [b"", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"], ids=["none", "half"]
)
def test_a_scraper_that_hangs_keeps_nobody_waiting(shared_server: Server, sent: bytes) -> None:
    """While 20 connections say nothing, or not all, a scrape takes no second."""
    address = ("127.0.0.1", shared_server.metrics_port)
    connections = [socket.create_connection(address) for _ in range(20)]
    try:
        for connection in connections:
            connection.sendall(sent)
        assert shared_server.get_metrics(seconds=1).status == 200
    finally:
        for connection in connections:
            connection.close()


def test_a_scraper_that_drips_is_cut_off(shared_server: Server) -> None:
    """A byte every second doesn't keep a thread for longer than CONNECTION_SECONDS."""
    address = ("127.0.0.1", shared_server.metrics_port)
    with socket.create_connection(address, timeout=1) as connection:
        began = time.monotonic()
        while time.monotonic() - began < CONNECTION_SECONDS + 3:
            try:
                connection.send(b"x")
                if connection.recv(100) == b"":
                    break
            except TimeoutError:
                continue
            except ConnectionError:
                break
        assert time.monotonic() - began < CONNECTION_SECONDS + 2


def test_many_scrapers_that_hang_have_few_threads(shared_server: Server) -> None:
    """Hundreds of connections: the oldest are closed, and a scrape is answered within a second."""
    pid = shared_server.metrics_pid()
    assert pid is not None
    with ExitStack() as stack:
        for _ in range(300):
            address = ("127.0.0.1", shared_server.metrics_port)
            stack.enter_context(socket.create_connection(address)).sendall(b"G")
        assert shared_server.get_metrics(seconds=1).status == 200
        wait_for(lambda: threads([pid]) <= MOST_CONNECTIONS + 3)
