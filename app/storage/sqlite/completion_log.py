"""Says what a completion of the index has found."""

import logging
from pathlib import Path

from app.storage.segments.leftovers import LEFTOVERS
from app.storage.sqlite.completion import Completed

_log = logging.getLogger("gomail")


def log_completed(completed: Completed, data_dir: Path) -> None:
    """Log what a completion has found."""
    if completed.messages or completed.deletions:
        _log.info(
            "The index was completed from segments/: %d messages, %d deletions",
            completed.messages,
            completed.deletions,
        )
    if completed.torn_bytes:
        _log.info(
            "A crash left %d bytes that were never acknowledged; they are removed",
            completed.torn_bytes,
        )
    for part in completed.passed_over:
        _log.warning(
            "segments/%s is damaged from byte %d to %d; what follows was read",
            part.segment,
            part.start,
            part.end,
        )
    kept = completed.leftovers
    if kept:
        _log.warning(
            "%d bytes in segments/ are no record, and may have been acknowledged mail: they are"
            " kept in %s (%d files)",
            sum(leftover.size for leftover in kept),
            data_dir / "segments" / LEFTOVERS,
            len(kept),
        )
