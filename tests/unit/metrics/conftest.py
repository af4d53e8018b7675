from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import prometheus_client.values
import pytest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector
from support.metrics_files import Read, values_of

from app.metrics import slot_values


@pytest.fixture
def in_slot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[int], None]]:
    """Return a function after which metrics are made in a slot's files below tmp_path.

    Where the library keeps its values is put back with the test, and the files are closed.
    """
    values = prometheus_client.values
    files: list[BinaryIO] = []

    class File(MmapedDict):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)  # type: ignore[no-untyped-call]  # the library has no types
            files.append(self._f)

    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr(values, "MmapedDict", File)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    yield lambda slot: slot_values.keep_in_slot(tmp_path, slot)
    for file in files:
        file.close()


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that reads all files as the library does."""

    return lambda: values_of(MultiProcessCollector(None, str(tmp_path)).collect())
