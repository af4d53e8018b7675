"""The directory of the workers' metrics files, and the recorder of this worker."""

import logging
import shutil
from pathlib import Path

from app.metrics.directory import make_directory
from app.metrics.recorder import Recorder
from app.metrics.slot_values import forget_gauges, keep_in_slot

_log = logging.getLogger("gomail")

_directory: Path | None = None
_has_complained = False
_recorder: Recorder | None = None


def metrics_directory() -> Path | None:
    """In the master: return the directory of the slots' files, created by the first call.

    None when it can't be created: mail is more important.
    """
    global _directory, _has_complained  # noqa: PLW0603 -- one per master, inherited by its workers
    if _directory is None:
        try:
            _directory = make_directory()
        except OSError as error:
            if not _has_complained:  # this is tried again every second
                _log.error("The files of the metrics can't be created: %s", error.strerror)
            _has_complained = True
    return _directory


def remove_metrics_directory() -> None:
    """In the master, when it ends."""
    if _directory is not None:
        shutil.rmtree(_directory, ignore_errors=True)


def begin_recording(slot: int) -> None:
    """In a worker with `slot`: make its recorder, which continues where the last one ended."""
    global _recorder  # noqa: PLW0603 -- one per worker, made after the fork
    if _directory is None:
        return
    try:
        keep_in_slot(_directory, slot)
    except OSError as error:
        _log.error("This worker can't record metrics: %s", error.strerror)
        return
    _recorder = Recorder()


def end_recording(slot: int) -> None:
    """In the master, when the worker in `slot` has ended."""
    if _directory is not None:
        forget_gauges(_directory, slot)


def current_recorder() -> Recorder | None:
    """Return the recorder of this worker; None when nothing is recorded."""
    return _recorder
