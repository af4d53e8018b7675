import threading

import pytest

from app.server.gunicorn_internals.threads import PatientPool

WAIT_SECONDS = 10


def test_work_waits_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails, nothing is lost: it is done once a thread can be started."""
    done = threading.Event()
    with monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse_to_start)
        pool = PatientPool(4)
    with pool, monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse_to_start)
        pool.submit(done.set)
        assert (pool.most, pool.most_uploads) == (1, 1)
        pool.try_again()
        assert not done.is_set()
        limited.undo()
        pool.try_again()
        assert done.wait(WAIT_SECONDS)
        assert pool.most == 4


def test_a_worker_has_a_thread_before_others_use_them_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it got at its start does the work when no further thread can be started."""
    done = threading.Event()
    with PatientPool(4) as pool, monkeypatch.context() as limited:
        limited.setattr(threading.Thread, "start", refuse_to_start)
        pool.submit(done.set)
        assert done.wait(WAIT_SECONDS)


def refuse_to_start(_thread: threading.Thread) -> None:
    """Do as the system does at a limit of processes."""
    raise RuntimeError("can't start new thread")


def test_uploads_leave_threads_for_others() -> None:
    """Half of a few, and some of many."""
    with PatientPool(4) as few, PatientPool(168) as many:
        assert (few.most_uploads, many.most_uploads) == (2, 128)
