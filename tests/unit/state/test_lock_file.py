import ctypes
import errno
import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

import pytest

from app.state.lock_file import LockFile, locked

Run = Callable[[Callable[[], None]], None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[IO[str]]:
    """Hold the lock, as another process that doesn't go on."""
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def in_this_thread(action: Callable[[], None]) -> None:
    action()


def in_another_thread(action: Callable[[], None]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(action).result()


@pytest.mark.parametrize("run", [in_this_thread, in_another_thread])
def test_a_wait_ends_after_its_time(path: Path, holder: IO[str], run: Run) -> None:
    """In every thread, not before and hardly after."""

    def wait() -> None:
        began = time.monotonic()
        with pytest.raises(TimeoutError) as caught, locked(path, 0.3):
            pass
        assert caught.value.errno == errno.ETIMEDOUT
        assert 0.3 <= time.monotonic() - began < 2

    run(wait)


def test_who_waits_gets_the_lock_once_it_is_free(path: Path, holder: IO[str]) -> None:
    """The kernel wakes whoever waits; the next one after that still waits."""
    lock = LockFile(path, wait_seconds=20)
    threading.Timer(0.1, fcntl.flock, (holder, fcntl.LOCK_UN)).start()
    began = time.monotonic()
    with lock.held():
        assert time.monotonic() - began < 10
        with pytest.raises(BlockingIOError):
            fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(holder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    lock.close()


def test_a_free_lock_is_taken_without_time_to_wait(path: Path) -> None:
    """Nothing to wait for is no timeout."""
    for _ in range(3):
        with locked(path, 0):
            pass


def test_other_waits_in_the_kernel_go_on(path: Path, holder: IO[str]) -> None:
    """The signal that ends a wait interrupts nothing that the thread does afterwards."""
    with pytest.raises(TimeoutError), locked(path, 0.05):
        pass
    assert ctypes.CDLL(None).usleep(300_000) == 0  # Python's own sleep would go on by itself
