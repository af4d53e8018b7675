"""What a worker does about those that have ended; see also tests/process/test_killed_workers.py."""

import threading
from pathlib import Path

import pytest

from app.errors import StorageUnavailable
from app.server import sweep as sweeping
from app.server.configuration import shared_state
from app.settings import Storage


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the data directories that were swept, instead of sweeping them."""
    found: list[Path] = []
    monkeypatch.setattr(sweeping, "complete_store", lambda storage: found.append(storage.data_dir))
    return found


def sweep() -> bool:
    """Do it once and wait for the end; return whether there was anything to do."""
    thread = sweeping.sweep_if_due()
    if thread is not None:
        thread.join()
    return thread is not None


def test_one_sweep_follows_the_end_of_workers(swept: list[Path]) -> None:
    """None before, one however many have ended, and none again after that."""
    shared_state.ended_workers.take()
    assert not sweep()
    shared_state.ended_workers.note()
    shared_state.ended_workers.note()
    assert [sweep(), sweep()] == [True, False]
    assert len(swept) == 1


def test_without_a_thread_it_is_done_later(
    swept: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that gives no thread just now doesn't end the worker, and nothing is forgotten."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    shared_state.ended_workers.note()
    with monkeypatch.context() as context:
        context.setattr(threading.Thread, "start", refuse)
        assert not sweep()
    assert (sweep(), len(swept)) == (True, 1)


def test_a_failure_is_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that fails is a warning with its reason: mail goes on, and the next start sweeps."""

    def fail(_storage: Storage) -> None:
        raise StorageUnavailable from OSError(5, "Input/output error")

    monkeypatch.setattr(sweeping, "complete_store", fail)
    shared_state.ended_workers.note()
    assert sweep()
    assert [each.getMessage() for each in caplog.records] == [
        "What a worker has left behind can't be removed: [Errno 5] Input/output error"
    ]
