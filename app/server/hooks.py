"""What Gunicorn calls in master and workers, see gunicorn.conf.py."""

import signal
from typing import Any

from app.server import flow
from app.server.configuration import current_settings, shared_state
from app.server.drain import Drain
from app.settings import Settings

_slots = shared_state.slots


def take_over_signals(server: Any, settings: Settings) -> None:
    """In the master, once it listens: make SIGTERM and SIGINT drain."""
    Drain(server, _slots, settings.storage.data_dir).install()


def assign_slot(_server: Any, worker: Any) -> None:
    """In the master, before a fork."""
    worker.slot = _slots.assign()


def begin_worker(_server: Any, worker: Any) -> None:
    """In the worker, first of all."""
    # Until it has handlers of its own, a signal would go to the master's, and be lost.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _slots.bind(worker.slot)


def release_slot(_server: Any, worker: Any) -> None:
    """In the master, when a worker has ended, however it did."""
    _slots.release(worker.slot)


def begin_request(_worker: Any, request: Any) -> None:
    """In a worker's thread, when the head of a request has been read."""
    request.admitted = _slots.enter()
    flow.admitted.set(request.admitted)
    if not request.admitted:
        request.force_close()
    deadline = flow.deadline.get()
    if deadline is not None:
        deadline.handle_within(current_settings().timeouts.handler)


def end_request(_worker: Any, request: Any, _environ: Any, _response: Any) -> None:
    """In the same thread, when the request is over, whatever came of it."""
    if request.admitted:
        _slots.leave()
