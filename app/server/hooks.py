"""The functions that Gunicorn calls in master and workers; see gunicorn.conf.py."""

import gc
import os
import signal
import time
from contextlib import suppress
from typing import Any

from app import logs
from app.heaps import share_heaps
from app.server.configuration import current_settings, shared_state
from app.server.delivery_process import delivery_process
from app.server.drain import Drain
from app.server.gunicorn_internals.body import in_pieces
from app.server.gunicorn_internals.master import Master
from app.server.metrics_server import metrics_process
from app.server.parent_death import signal_when_parent_ends
from app.server.processors import own_processor
from app.server.reload import accept_new_settings, announce_reload
from app.server.retention_process import retention_process
from app.server.worker_metrics import (
    begin_recording,
    end_recording,
    metrics_directory,
    remove_metrics_directory,
)
from app.settings import Settings
from app.state.processes import MASTER
from app.web.request_context import current_request

_slots = shared_state.slots
_processes = shared_state.processes


def take_over_signals(server: Any, settings: Settings) -> None:
    """In the master, once it listens: SIGTERM and SIGINT start the drain, SIGHUP checks first.

    The other child processes must have been started, since the drain ends them as well.
    """
    master = Master(server)
    master.survive_failed_forks(lambda worker: release_slot(server, worker))
    master.reload_only_if(accept_new_settings)
    # Installed last, and so asked first: nothing is reloaded during the drain.
    Drain(master, _slots, settings.storage.data_dir, server.child_processes).install()


def announce_new_settings(_server: Any) -> None:
    """In the master, at a reload, before its new workers start."""
    announce_reload()


def start_child_processes(server: Any) -> None:
    """In the master, before its first worker: start the processes beside the workers."""
    _processes.begin(MASTER)
    master = Master(server)
    server.child_processes = [
        metrics_process(master),
        retention_process(master),
        delivery_process(master),
    ]
    for child in server.child_processes:
        child.install()


def end_child_processes(server: Any) -> None:
    """In the master, last of all."""
    for child in server.child_processes:
        child.stop()
    remove_metrics_directory()


def assign_slot(server: Any, worker: Any) -> None:
    """In the master, before a fork."""
    server.unborn = worker
    worker.slot = _slots.assign()
    others = [other.processor for other in server.WORKERS.values()]
    worker.processor = own_processor(others, current_settings().server.workers)
    if current_settings().metrics.enabled:
        metrics_directory()


def begin_worker(_server: Any, worker: Any) -> None:
    """In the worker, first of all."""
    # Until the worker has its own handlers, a signal would reach the inherited ones and be lost.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # Without a master nobody would replace or stop the worker, and it would keep the port.
    signal_when_parent_ends(signal.SIGTERM, worker.ppid)
    share_heaps()
    logs.omit_what_no_line_shows()
    if worker.processor is not None:
        with suppress(OSError):  # not permitted, or no longer available: then it runs anywhere
            os.sched_setaffinity(0, {worker.processor})
    _slots.bind(worker.slot)
    _processes.begin(worker.slot)
    if current_settings().metrics.enabled:
        begin_recording(worker.slot)


def begin_serving(_worker: Any) -> None:
    """In the worker, once the application is loaded."""
    # Full collections needn't scan objects that live as long as the process: scanning everything
    # that Python has loaded takes 30 ms, during which every request waits.
    gc.freeze()


def release_slot(_server: Any, worker: Any) -> None:
    """In the master, when a worker has ended for whatever reason."""
    _slots.release(worker.slot)
    shared_state.ended_workers.note()
    _processes.end(worker.slot)
    end_recording(worker.slot)


def begin_request(_worker: Any, request: Any) -> None:
    """In a worker's thread, when the head of a request has been read."""
    request.body = in_pieces(request.body)
    request.context = context = current_request()
    context.started_at = time.perf_counter()
    context.is_admitted = _slots.enter()
    if not context.is_admitted:
        request.force_close()
    if context.deadline is not None:
        context.deadline.handle_within(current_settings().timeouts.handler, request)


def end_request(_worker: Any, request: Any, _environ: Any, _response: Any) -> None:
    """In the same thread, when the request is over, whether it succeeded or not."""
    if request.context.is_admitted:
        _slots.leave()
