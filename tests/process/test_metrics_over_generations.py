import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support.linux_process import kill_process
from support.load import Load, stored_queue_ids
from support.samples import Key, Samples
from support.server import CHECKOUT, GUNICORN, NewServer, Server, wait_for
from support.upload import MESSAGE

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.alone,
    pytest.mark.promise("counters equal what the clients have counted"),
]

WORKERS = 2
GENERATIONS = 30
REQUESTS_OF_A_WORKER = 20
KILLS = 6
SCRAPES = 20

Fall = tuple[Key, float, float]


def metrics_files(server: Server) -> list[str]:
    """Return the names of the files that the workers count in."""
    for link in Path(f"/proc/{server.pid}/fd").iterdir():
        if link.readlink().name.startswith("gomail-metrics-"):
            return sorted(file.name for file in link.iterdir())
    raise AssertionError("the master keeps no directory of metrics")


def whole_scrape(server: Server) -> Samples:
    """Return what is told while all workers run: between two generations one is missing."""

    def whole() -> Samples | None:
        scrape = server.scrape()
        shown = sum(name == "python_threads" for name, _ in scrape.values)
        return scrape if shown == WORKERS + 1 else None  # and the master

    return wait_for(whole)


def scrape_seconds(server: Server) -> float:
    """Return the median over SCRAPES of how long one takes."""
    seconds = []
    for _ in range(SCRAPES):
        began = time.monotonic()
        server.get_metrics()
        seconds.append(time.monotonic() - began)
    return statistics.median(seconds)


def run_generations(server: Server, count: int, name: str) -> Load:
    """Load the server until `count` times WORKERS have ended; return the load when it is over.

    Gunicorn ends a worker that has had its requests, and starts another in its place.
    """
    seen = set(server.worker_pids())
    enough = len(seen) + count * WORKERS

    def have_ended() -> bool:
        seen.update(server.worker_pids())
        return len(seen) >= enough

    with Load(server, name=name) as load:
        wait_for(have_ended, 60)
    assert load.failures == []
    wait_for(lambda: server.scrape().value("http_active_requests") == 0)
    return load


def test_thirty_generations_of_workers_are_one_to_prometheus(new_server: NewServer) -> None:
    """Under load: every answer is counted once, and neither files nor a scrape's time grow."""
    server = new_server(workers=WORKERS)
    server.start((*GUNICORN, "--max-requests", str(REQUESTS_OF_A_WORKER)), CHECKOUT)
    first = run_generations(server, 1, "first")
    files, series, seconds = (
        metrics_files(server),
        whole_scrape(server).values.keys(),
        scrape_seconds(server),
    )

    later = run_generations(server, GENERATIONS, "later")
    assert metrics_files(server) == files
    assert scrape_seconds(server) < 2 * seconds
    after = whole_scrape(server)
    assert after.values.keys() == series
    acknowledged = len(first.acknowledged) + len(later.acknowledged)
    assert acknowledged > GENERATIONS * WORKERS * REQUESTS_OF_A_WORKER / 2
    check_exact(after, acknowledged)
    assert stored_queue_ids(server) == sorted(first.acknowledged + later.acknowledged)


def check_exact(samples: Samples, acknowledged: int) -> None:
    """Check everything that is counted of a message that was stored."""
    received = {"method": "POST", "endpoint": "/mail/inbound"}
    assert samples.value("http_requests_total", **received, status="200") == acknowledged
    assert samples.value("http_requests_total", **received) == acknowledged
    assert samples.by("status", "emails_processed_total") == {"success": acknowledged}
    assert samples.value("email_size_bytes_sum") == acknowledged * len(MESSAGE)
    assert samples.value("email_processing_duration_seconds_count") == acknowledged
    assert samples.value("storage_operations_total", operation="add") == acknowledged


@contextmanager
def scraping(server: Server) -> Iterator[tuple[list[Fall], list[Samples]]]:
    """Scrape all the while; yields the list of falls seen, and of the scrapes so far."""
    highest: dict[Key, float] = {}
    falls: list[Fall] = []
    scrapes: list[Samples] = []
    done = threading.Event()

    def scrape() -> None:
        while not done.is_set():
            found = server.scrape()
            for key, value in found.monotonic().items():
                if value < highest.get(key, 0):
                    falls.append((key, highest[key], value))
                highest[key] = value
            scrapes.append(found)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    try:
        yield falls, scrapes
    finally:
        done.set()
        scraper.join()


def start_times(server: Server) -> dict[str, float]:
    """Return when the process in each place was started."""
    return server.scrape().by("worker", "process_start_time_seconds")


def replaced(server: Server, before: dict[str, float]) -> list[str] | None:
    """Return the places whose process is another one than in `before`, once all have one."""
    after = start_times(server)
    changed = [place for place, at in before.items() if after.get(place, 0) > at]
    return changed if len(after) == WORKERS + 1 else None


def has_acknowledged(load: Load, count: int) -> bool:
    """Tell whether more than `count` messages were taken."""
    return len(load.acknowledged) > count


def test_a_killed_worker_takes_no_count_with_it(new_server: NewServer) -> None:
    """kill -9 amid the load: no counter falls, and the runtime series are those of the next.

    What was answered is counted; what is counted was stored, though its answer may be lost.
    """
    server = new_server(workers=WORKERS).start()
    with Load(server) as load, scraping(server) as (falls, scrapes):
        for number in range(KILLS):
            wait_for(partial(has_acknowledged, load, (number + 1) * 30), 30)
            before = start_times(server)
            kill_process(server.worker_pids()[number % WORKERS])
            [place] = wait_for(partial(replaced, server, before))
            assert place != "master"
    assert falls == []
    assert len(scrapes) > KILLS
    # The last answers may have arrived a moment before their requests were over.
    wait_for(lambda: server.scrape().value("http_active_requests") == 0)
    after = server.scrape()
    counted = after.value("http_requests_total", endpoint="/mail/inbound", status="200")
    assert len(load.acknowledged) <= counted <= len(stored_queue_ids(server))
    assert after.value("emails_processed_total", status="success") >= len(load.acknowledged)


def test_the_time_of_dead_workers_is_kept(new_server: NewServer) -> None:
    """process_cpu_seconds_total of a place never falls below what its dead workers used."""
    server = new_server(workers=1).start()
    for number in range(100):
        server.deliver(MESSAGE + b"%d" % number)
    before = server.scrape().value("process_cpu_seconds_total", worker="0")
    times = start_times(server)
    assert before > 0.1
    for pid in server.worker_pids():
        kill_process(pid)
    wait_for(lambda: start_times(server).get("0", 0) > times["0"])
    assert server.scrape().value("process_cpu_seconds_total", worker="0") >= before
