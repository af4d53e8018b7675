"""Where prometheus_client keeps the numbers of one worker: files that its successor takes over.

The library's own multiprocess mode has files for each process id, so every worker that ever ran
leaves some behind, and each scrape reads them all. Here they belong to a slot (app.state.slots).
The format is the library's, whose MultiProcessCollector adds the files up.
"""

import os
from pathlib import Path

import prometheus_client.values
from prometheus_client.values import MultiProcessValue

_FILE_BYTES = {"histogram": 1024 * 1024, "counter": 64 * 1024}


def keep_in_slot(directory: Path, slot: int) -> None:
    """Keep all metrics that this process creates from now on in the files of `slot`.

    They continue where the slot's last process ended. Raises OSError.
    """
    for kind, size in _FILE_BYTES.items():
        _make(directory / f"{kind}_{slot}.db", size)  # as the library would call it
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory)  # it looks there for each new value
    prometheus_client.values.ValueClass = MultiProcessValue(process_identifier=lambda: slot)


def _make(path: Path, size: int) -> None:
    if not path.exists():
        # Renamed once it is complete: an empty file, even for a moment, would fail a scrape.
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            # If space ran out later, the process would be killed with SIGBUS.
            os.posix_fallocate(file.fileno(), 0, size)
        new.rename(path)
