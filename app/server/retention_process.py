"""The process that deletes what has to go, and erases what anybody has deleted.

One for each data directory, however many servers share it: the others wait for its lock. Of those
of several hosts, one at a time deletes by age and size; see MessageStore.retention_turn.
"""

import time
from contextlib import closing

from app.retention.expiry import Expiry
from app.retention.repeated import Repeated
from app.server.child_process import ChildProcess
from app.server.gunicorn_internals.master import Master
from app.server.sweep import sweep
from app.services import now
from app.settings import Settings
from app.state.lock_file import LockFile
from app.storage.factory import open_store

ROUND_SECONDS = 1.0
RETENTION_SECONDS = 60.0
FORGETTING_SECONDS = 3600.0
ERASURE_SECONDS = 30.0  # what is deleted is to be gone within a minute


def retention_process(master: Master) -> ChildProcess:
    """Return what keeps the process running."""
    return ChildProcess(master, "retention", _run)


def _run(settings: Settings) -> None:
    timer = time.monotonic
    work = Repeated("Retention can't begin", lambda: _work_alone(settings), ROUND_SECONDS, timer)
    while True:
        work.do_if_due()
        time.sleep(ROUND_SECONDS)


def _work_alone(settings: Settings) -> None:
    """Wait for the lock, then work until the data directory is replaced; raises OSError."""
    path = settings.storage.data_dir / "retention.lock"
    with closing(LockFile(path)) as lock, lock.held():
        sweep()  # a predecessor may have been killed while it deleted
        _work(settings, lock)


def _work(settings: Settings, lock: LockFile) -> None:
    with closing(open_store(settings.storage)) as store:
        erasure = Repeated(
            "Deleted messages can't be erased", store.erase, ERASURE_SECONDS, time.monotonic
        )

        def pause(seconds: float) -> None:
            erasure.do_if_due()
            time.sleep(seconds)

        expiry = Expiry(store, settings.retention, now, time.monotonic, pause)
        retention = Repeated("Retention fails", expiry.run, RETENTION_SECONDS, time.monotonic)
        forgetting = Repeated(
            "Deletions of long ago can't be forgotten",
            expiry.forget,
            FORGETTING_SECONDS,
            time.monotonic,
        )
        while _is_in_place(lock):
            retention.do_if_due()
            forgetting.do_if_due()
            pause(ROUND_SECONDS)


def _is_in_place(lock: LockFile) -> bool:
    try:
        lock.check_place()
    except OSError:
        return False
    return True
