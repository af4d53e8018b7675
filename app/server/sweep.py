"""Completes the store after a worker that has ended.

If a worker is killed, it may leave records that have no row yet, and a large message that it was
still receiving, in a file of its own. Another worker indexes the records and removes the file, in a
thread: in the master, a thread might hold a lock at the moment of a fork, and the new worker would
wait for it for ever.
"""

import logging
import threading

from app.errors import GoMailError
from app.server.configuration import current_settings, shared_state
from app.storage.preparation import complete_store

_log = logging.getLogger("gomail")


def sweep_if_due() -> threading.Thread | None:
    """In a worker, every now and then: if a worker has ended, clean up after it."""
    if not shared_state.ended_workers.take():
        return None
    thread = threading.Thread(target=sweep, name="sweep", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # no thread can be started: later, perhaps in another worker
        shared_state.ended_workers.note()
        return None
    return thread


def sweep() -> None:
    """Complete the store after processes that have ended; a failure is logged."""
    try:
        complete_store(current_settings().storage)
    except GoMailError as error:
        reason = error.__cause__ or error
        _log.warning("What a worker has left behind can't be removed: %s", reason)
