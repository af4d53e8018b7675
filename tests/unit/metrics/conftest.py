from operator import itemgetter

import prometheus_client.values
import pytest
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from app.metrics import slot_values


@pytest.fixture
def in_slot(monkeypatch, tmp_path):
    """Return a function after which metrics are made in a slot's files below tmp_path.

    Where the library keeps its values is put back with the test, and the files are closed.
    """
    values, files = prometheus_client.values, []

    class File(MmapedDict):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            files.append(self._f)

    monkeypatch.setattr(values, "ValueClass", values.ValueClass)
    monkeypatch.setattr(values, "MmapedDict", File)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    yield lambda slot: slot_values.keep_in_slot(tmp_path, slot)
    for file in files:
        file.close()


@pytest.fixture
def read(tmp_path):
    """Return a function that reads all files as the library does.

    It returns the values by name and labels, which are in the order of their names.
    """

    def read_all():
        return {
            (sample.name, *map(itemgetter(1), sorted(sample.labels.items()))): sample.value
            for family in MultiProcessCollector(None, str(tmp_path)).collect()
            for sample in family.samples
        }

    return read_all
