import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client import Counter, Histogram
from support.linux_process import in_child
from support.metrics_files import Read

from app.metrics.slot_values import keep_for_deliveries

THREADS, TIMES = 8, 2000


def counter(name: str = "seen_total", labels: Sequence[str] = ()) -> Counter:
    """Return a counter that lives where metrics live now."""
    return Counter(name, "What was seen", labels, registry=None)


def histogram() -> Histogram:
    """Return a histogram of two finite buckets."""
    return Histogram("size", "How large", buckets=(1, 10), registry=None)


def test_the_library_reads_what_was_counted(in_slot: Callable[[int], None], read: Read) -> None:
    """A counter and a histogram, with labels and without, are in the sums with their values."""
    in_slot(0)
    counter().inc(2.5)
    counter("by_kind_total", ["kind"]).labels("ä b").inc()
    for size in (0.5, 5, 50):
        histogram().observe(size)
    assert read() == {
        ("seen_total",): 2.5,
        ("by_kind_total", "ä b"): 1,
        ("size_bucket", "1.0"): 1,
        ("size_bucket", "10.0"): 2,
        ("size_bucket", "+Inf"): 3,
        ("size_count",): 3,
        ("size_sum",): 55.5,
    }


def test_slots_are_added_up(in_slot: Callable[[int], None], read: Read) -> None:
    """What two slots have counted is one sum."""
    for slot in (0, 1, 12):
        in_slot(slot)
        counter().inc(slot + 1)
    assert read()["seen_total",] == 1 + 2 + 13


def test_a_successor_goes_on(in_slot: Callable[[int], None], read: Read) -> None:
    """The next process of a slot begins where the last one ended, without new files."""

    def work() -> None:
        in_slot(3)
        counter().inc(10)
        histogram().observe(5)

    for _ in range(3):
        in_child(work)
    assert read()["seen_total",] == 30
    assert read()["size_sum",] == 15
    in_slot(3)
    assert counter()._value.get() == 30


def test_many_series_outgrow_the_file(
    in_slot: Callable[[int], None], read: Read, tmp_path: Path
) -> None:
    """More and longer keys than the file was made for are all there, old ones too."""
    in_slot(0)
    before = (tmp_path / "counter_0.db").stat().st_size
    many = counter("many_total", ["key"])
    first = many.labels("first")
    for number in range(300):
        many.labels(f"{number}-" + "k" * 1000).inc(number)
        first.inc()
    assert (tmp_path / "counter_0.db").stat().st_size >= 4 * before
    found = read()
    assert found["many_total", "first"] == 300
    assert sum(found.values()) == 300 + sum(range(300))
    in_slot(0)
    assert counter("many_total", ["key"]).labels("first")._value.get() == 300


def test_threads_lose_nothing(in_slot: Callable[[int], None], read: Read) -> None:
    """Eight threads that count in the same series, and make new ones, come out at exact sums."""
    in_slot(0)
    shared, sizes, own = counter(), histogram(), counter("own_total", ["thread"])

    def work(thread: int) -> None:
        for number in range(TIMES):
            shared.inc()
            sizes.observe(1)
            own.labels(f"{thread}-{number % 50}").inc()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(work, range(THREADS)))
    found = read()
    assert found["seen_total",] == found["size_sum",] == found["size_count",] == THREADS * TIMES
    assert sum(value for key, value in found.items() if key[0] == "own_total") == THREADS * TIMES


def test_what_can_be_read_is_whole_from_the_first_moment(
    in_slot: Callable[[int], None], read: Read, tmp_path: Path
) -> None:
    """New files have their space, have nothing in them, and can be read."""
    in_slot(0)
    assert {file.name: file.stat().st_size for file in tmp_path.iterdir()} == {
        "counter_0.db": 64 * 1024,
        "gauge_livesum_0.db": 64 * 1024,
        "histogram_0.db": 1024 * 1024,
    }
    assert all(file.stat().st_blocks * 512 >= file.stat().st_size for file in tmp_path.iterdir())
    assert read() == {}


def test_a_full_memory_fails_no_scrape(
    in_slot: Callable[[int], None], read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that finds no space for its files has an OSError; what others count is read."""
    in_slot(0)
    counter().inc()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "posix_fallocate", fail)
        with pytest.raises(OSError, match="No space"):
            in_slot(1)
    assert read() == {("seen_total",): 1}
    in_slot(1)
    counter().inc()
    assert read() == {("seen_total",): 2}


def test_delivery_processes_have_files_of_their_own(
    in_slot: Callable[[int], None], read: Read, tmp_path: Path
) -> None:
    """Two at the same time count apart; one that comes later takes over from one that has ended."""
    in_slot(0)
    counter().inc()

    def work() -> None:
        keep_for_deliveries(tmp_path)
        counter().inc(10)
        in_child(count_beside)

    def count_beside() -> None:
        keep_for_deliveries(tmp_path)
        counter().inc(100)

    for _ in range(2):
        in_child(work)
    assert read()["seen_total",] == 1 + 2 * (10 + 100)
    files = {path.name for path in tmp_path.glob("counter_*.db")}
    assert files == {"counter_0.db", "counter_1025.db", "counter_1026.db"}
