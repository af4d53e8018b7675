"""What single calls cost; part of bench_metrics.py.

Every function wants a process of its own: prometheus_client has one place for all metrics of a
process, and it can't be changed afterwards.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import prometheus_client.values
from flask import Flask
from prometheus_client.values import MultiProcessValue
from prometheus_flask_exporter import PrometheusMetrics
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app.metrics.recorder import Recorder
from app.metrics.slot_values import keep_in_slot

ROUNDS = 15
CALLS = 5_000
REQUESTS = 300
SHARED_MEMORY = "/dev/shm"


def recorder_operations(with_library: bool) -> dict[str, float]:
    """Return the microseconds of each call of a recorder, in the library's own files or a slot's.

    Either way the files are in shared memory.
    """
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as directory:
        if with_library:
            use_library_files(directory)
        else:
            keep_in_slot(Path(directory), 0)
        recorder = Recorder()
        recorder.know_endpoints(["/mail/inbound"], ["/mail/inbound"])
        calls: dict[str, Callable[[], None]] = {
            "request": partial(recorder.request, "POST", "/mail/inbound", 200, 0.004, 250),
            "stored": partial(recorder.stored, 4096, 0.003),
            "commit": partial(recorder.commit, 1),
            "rate_limit": partial(recorder.rate_limit, allowed=True),
        }
        return {name: microseconds(call, CALLS) for name, call in calls.items()}


def added_by_default_hooks() -> tuple[float, float]:
    """Return the microseconds of a request to a bare application, and those that hooks add."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as directory:
        use_library_files(directory)  # several workers need them
        bare, hooked = hello_app(), hello_app()
        PrometheusMetrics(hooked)
        pairs = []
        for _ in range(ROUNDS):
            without, added = (round_of(partial(ask, app), REQUESTS) for app in (bare, hooked))
            pairs.append((without, added - without))
    return (
        statistics.median(without for without, _ in pairs),
        statistics.median(added for _, added in pairs),
    )


def use_library_files(directory: str) -> None:
    """Let metrics live in prometheus_client's own files."""
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    prometheus_client.values.ValueClass = MultiProcessValue()


def hello_app() -> Flask:
    """Return an application that does next to nothing."""
    app = Flask("hello", static_folder=None)
    app.add_url_rule("/hello", view_func=lambda: "hello", endpoint="hello")
    return app


def ask(app: Flask) -> None:
    """Let `app` answer one request."""
    _, status, _ = run_wsgi_app(app, dict(_ENVIRON), buffered=True)
    if status != "200 OK":
        raise SystemExit(f"A bare application answered {status}: the figures are worthless.")


def microseconds(call: Callable[[], None], times: int) -> float:
    """Return the CPU time of `call`, the median of several rounds."""
    return statistics.median(round_of(call, times) for _ in range(ROUNDS))


def round_of(call: Callable[[], None], times: int) -> float:
    """Return the CPU time of `call` in microseconds, the mean of so many times."""
    started_at = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - started_at) / times * 1_000_000


_ENVIRON = EnvironBuilder("/hello").get_environ()
