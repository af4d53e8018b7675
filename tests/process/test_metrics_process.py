import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest
from support.linux_process import kill_process, lives
from support.load import Load
from support.samples import Samples
from support.server import NewServer, Server, wait_for
from support.upload import MESSAGE, Upload, metrics, uploads_in_flight

SCRAPES = 100
HANGING = 60

pytestmark = [pytest.mark.alone, pytest.mark.thorough]


def slowest_scrape(server: Server) -> float:
    """Return how long the slowest of SCRAPES took, in seconds."""
    seconds = []
    for _ in range(SCRAPES):
        began = time.monotonic()
        assert server.get_metrics().status == 200
        seconds.append(time.monotonic() - began)
    return max(seconds)


@contextmanager
def all_uploads_hanging(server: Server) -> Iterator[None]:
    """Begin uploads until the workers receive no more at once."""
    uploads: list[Upload] = []
    limit = server.scrape().value("config_limit", name="requests_at_once")
    try:
        while len(uploads) < limit:
            uploads.append(Upload(server, f"hangs{len(uploads)}"))
        wait_for(lambda: server.scrape().value("http_active_requests") == limit)
        yield
    finally:
        for upload in uploads:
            upload.close()


@pytest.mark.promise("the metrics port answers within a second, busy or draining")
def test_busy_processors_delay_no_scrape(new_server: NewServer) -> None:
    """While clients deliver as fast as they can, and others hang: 100 scrapes below a second."""
    server = new_server().start()
    with uploads_in_flight(server, HANGING), Load(server, 16) as load:
        wait_for(lambda: load.acknowledged)
        assert slowest_scrape(server) < 1
        assert server.scrape().value("http_active_requests") >= HANGING
    assert load.failures == []


@pytest.mark.promise("the metrics port answers within a second, busy or draining")
def test_uploads_that_all_hang_delay_no_scrape(new_server: NewServer) -> None:
    """When no more can be received, the port tells so: 100 scrapes below a second."""
    server = new_server(workers=1).start()
    with all_uploads_hanging(server):
        assert slowest_scrape(server) < 1
    assert wait_for(lambda: server.request("GET", "/ready").status == 200)


@pytest.mark.promise("the metrics port answers within a second, busy or draining")
def test_a_drain_can_be_watched(new_server: NewServer) -> None:
    """The port tells that the server drains, and what it waits for; then how long that took."""
    server = new_server().start()
    with uploads_in_flight(server, 2) as uploads:
        assert server.scrape().value("server_draining") == 0
        os.kill(server.pid, signal.SIGTERM)
        during = wait_for(lambda: draining(server))
        assert during.value("http_active_requests") == 2
        assert [upload.finish().status for upload in uploads] == [200, 200]
    assert server.wait(10) == 0
    server.start()
    check_shutdowns(server, graceful=1, forced=0)


def draining(server: Server) -> Samples | None:
    """Return the samples of a server that drains, None of another."""
    found = server.scrape()
    return found if found.value("server_draining") else None


def check_shutdowns(server: Server, **counts: int) -> None:
    """Check how many shutdowns of each type are told, and that each took its time."""
    found = server.scrape()
    for kind, count in counts.items():
        assert found.value("shutdowns_total", type=kind) == count
        assert found.value("shutdown_duration_seconds_count", type=kind) == count
        bucket = found.value("shutdown_duration_seconds_bucket", type=kind, le="+Inf")
        assert bucket == count
        assert (found.value("shutdown_duration_seconds_sum", type=kind) > 0) == (count > 0)


@pytest.mark.promise("how shutdowns went survives the restart")
def test_forced_shutdowns_are_told_apart(new_server: NewServer) -> None:
    """A stop that cuts off an upload is one of type forced, and in the buckets above its time."""
    server = new_server(shutdown_timeout=1).start()
    with uploads_in_flight(server, 1):
        assert server.stop() == 0
    server.start()
    check_shutdowns(server, graceful=0, forced=1)
    found = server.scrape()
    below = [
        found.value("shutdown_duration_seconds_bucket", type="forced", le=bound)
        for bound in ("0.5", "1.0", "2.5")
    ]
    assert below == [0, 0, 1]


def answers(server: Server) -> bool:
    """Tell whether the metrics port answers."""
    with suppress(OSError):
        return server.get_metrics(seconds=2).status == 200
    return False


def has_successor(server: Server, pid: int) -> bool:
    """Tell whether another process than `pid` answers."""
    return server.metrics_pid() not in {pid, None} and answers(server)


def test_a_killed_process_is_replaced(server: Server) -> None:
    """The port answers again within two seconds, however often, and nothing counted is lost."""
    assert server.deliver(MESSAGE).status == 200
    for _ in range(3):
        pid = wait_for(server.metrics_pid)
        kill_process(pid)
        wait_for(partial(has_successor, server, pid), 2)
    assert server.scrape().value("emails_processed_total", status="success") == 1
    assert len(server.worker_pids()) == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGWINCH])
def test_signals_for_the_group_do_not_end_it(server: Server, number: int) -> None:
    """What a terminal sends to all of its processes is the master's business."""
    pid = wait_for(server.metrics_pid)
    os.kill(pid, number)
    assert answers(server)
    assert server.metrics_pid() == pid


def directories() -> set[Path]:
    """Return the directories of all servers on this machine."""
    return set(Path("/dev/shm").glob("gomail-metrics-*"))


def directory_of(server: Server) -> Path:
    """Return the directory of metrics files that the master of `server` keeps open."""
    links = [link.readlink() for link in Path(f"/proc/{server.pid}/fd").iterdir() if link.exists()]
    [found] = {link for link in links if link.name.startswith("gomail-metrics-")}
    return found


def is_gone(pid: int) -> bool:
    """Tell whether the process `pid` has ended."""
    return not lives(pid)


def kill_master(server: Server) -> None:
    """Kill the master and return when all of its children have gone too."""
    port, workers = wait_for(server.metrics_pid), server.worker_pids()
    os.kill(server.pid, signal.SIGKILL)
    server.wait()
    wait_for(partial(is_gone, port), 2)
    for pid in workers:
        kill_process(pid)
        wait_for(partial(is_gone, pid))


def test_the_process_ends_with_its_master(server: Server) -> None:
    """When the master is killed the port closes within two seconds."""
    kill_master(server)
    assert not answers(server)


def test_a_stop_leaves_no_directory(server: Server) -> None:
    """After SIGTERM nothing is left in memory."""
    directory = directory_of(server)
    assert directory in directories()
    assert server.stop() == 0
    assert not directory.exists()


def test_what_a_crash_has_left_is_removed(new_server: NewServer) -> None:
    """The next start, of whichever server, removes it; that of a running one it leaves alone."""
    crashed, running, other = new_server(), new_server().start(), new_server()
    left = directory_of(crashed.start())
    kill_master(crashed)
    assert left.exists()
    other.start()
    assert not left.exists()
    assert directory_of(running).exists()
    running.deliver(MESSAGE)
    assert running.scrape().value("emails_processed_total", status="success") == 1


def test_a_scrape_changes_nothing_on_the_api_port(server: Server) -> None:
    """Scrapes aren't requests: neither the old /metrics nor the counters see them."""
    before = server.scrape().value("http_requests_total"), metrics(server)["total_emails"]
    threads = [threading.Thread(target=server.scrape) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = server.scrape().value("http_requests_total"), metrics(server)["total_emails"]
    assert after[0] - before[0] == 1  # that of metrics()
    assert after[1] == before[1]


def collections(server: Server) -> float:
    """Return how often the master has collected garbage."""
    return server.scrape().value("python_gc_collections_total", worker="master")


def test_what_a_scrape_costs_is_not_taken_for_the_masters(server: Server) -> None:
    """The port's own collections, of which 100 scrapes make many, are in nobody's series."""
    before = collections(server)
    slowest_scrape(server)
    assert collections(server) - before < 5
