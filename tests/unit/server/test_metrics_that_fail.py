import os
import signal
from pathlib import Path
from typing import NoReturn

import pytest

from app.server import metrics_server, worker_metrics
from app.server.gunicorn_internals.master import Master
from app.server.metrics_server import MetricsServer
from app.settings.model import assemble
from app.settings.schema import defaults

ROUNDS = 3


class Arbiter:
    """What a child takes from the master that it leaves."""

    SIGNALS = ()
    LISTENERS = ()
    WORKERS: dict[int, object] = {}  # noqa: RUF012 -- as in Gunicorn


@pytest.fixture
def metrics(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MetricsServer:
    """Return the keeper of a process that tries again in each round."""
    monkeypatch.setattr(metrics_server, "RETRY_SECONDS", 0)
    monkeypatch.setattr(metrics_server, "metrics_directory", lambda: tmp_path)
    settings = assemble(defaults() | {"data_dir": str(tmp_path), "metrics_port": 1})
    monkeypatch.setattr(metrics_server, "loaded_settings", lambda: settings)
    return MetricsServer(Master(Arbiter()))


def fail(*_: object) -> NoReturn:
    """Fail as a limit of the system makes calls fail."""
    raise OSError(11, "Resource temporarily unavailable")


def test_a_fork_that_fails_does_not_end_the_master(
    metrics: MetricsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Mail goes on; the log has one line, however often it is tried again."""
    monkeypatch.setattr(os, "fork", fail)
    for _ in range(ROUNDS):
        metrics.keep()
    [line] = caplog.messages
    assert "temporarily unavailable" in line


def test_a_process_that_cannot_be_watched_does_not_stay(
    metrics: MetricsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would keep the port from its successors."""
    monkeypatch.setattr(os, "pidfd_open", fail)
    monkeypatch.setattr(MetricsServer, "_leave", lambda *_: signal.pause())
    metrics.keep()
    _, status = os.waitpid(-1, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(caplog.messages) == 1


def test_no_place_for_the_files_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The master asks for it every second."""
    monkeypatch.setattr(worker_metrics, "_directory", None)
    monkeypatch.setattr(worker_metrics, "_has_complained", False)
    monkeypatch.setattr(worker_metrics, "make_directory", fail)
    assert [worker_metrics.metrics_directory() for _ in range(ROUNDS)] == [None] * ROUNDS
    assert len(caplog.messages) == 1
