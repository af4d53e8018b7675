import threading
from typing import Any

import pytest

from app.server.gunicorn_internals.threads import PatientPool

WAIT_SECONDS = 10


def test_work_waits_when_no_thread_can_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing fails, nothing is lost: it is done once a thread can be started."""
    done = threading.Event()
    with PatientPool(4) as pool, monkeypatch.context() as limited:

        def start(_thread: Any) -> None:
            raise RuntimeError("can't start new thread")

        limited.setattr(threading.Thread, "start", start)
        pool.submit(done.set)
        assert (pool.most, pool.most_uploads) == (1, 1)
        pool.try_again()
        assert not done.is_set()
        limited.undo()
        pool.try_again()
        assert done.wait(WAIT_SECONDS)
        assert pool.most == 4


def test_uploads_leave_threads_for_others() -> None:
    """Half of a few, and some of many."""
    with PatientPool(4) as few, PatientPool(136) as many:
        assert (few.most_uploads, many.most_uploads) == (2, 128)
