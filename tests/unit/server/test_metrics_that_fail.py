from typing import NoReturn

import pytest

from app.server import worker_metrics

ROUNDS = 3


def fail(*_: object) -> NoReturn:
    """Fail as a limit of the system makes calls fail."""
    raise OSError(11, "Resource temporarily unavailable")


def test_no_place_for_the_files_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The master asks for it every second."""
    monkeypatch.setattr(worker_metrics, "_directory", None)
    monkeypatch.setattr(worker_metrics, "_has_complained", False)
    monkeypatch.setattr(worker_metrics, "make_directory", fail)
    assert [worker_metrics.metrics_directory() for _ in range(ROUNDS)] == [None] * ROUNDS
    assert len(caplog.messages) == 1
