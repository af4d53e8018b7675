import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.byte_budget import ByteBudget

TOTAL = 100


def test_no_more_is_taken_than_there_is() -> None:
    """Of many threads that take parts at once, those inside never hold more than the total."""
    budget, lock, held, peaks = ByteBudget(TOTAL), threading.Lock(), [0], [0]

    def take(size: int) -> None:
        with budget.taken(size):
            with lock:
                held[0] += min(size, TOTAL)
                peaks[0] = max(peaks[0], held[0])
            threading.Event().wait(0.001)
            with lock:
                held[0] -= min(size, TOTAL)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(take, [10, 30, 50, 99, 1000] * 40))
    assert 50 < peaks[0] <= TOTAL
    with budget.taken(TOTAL):  # all was given back
        pass


def test_what_fails_gives_its_part_back() -> None:
    """An error inside doesn't keep the bytes from the next."""
    budget = ByteBudget(TOTAL)
    for _ in range(3):
        with pytest.raises(KeyError), budget.taken(TOTAL):
            raise KeyError
    with budget.taken(TOTAL):
        pass


def test_a_large_one_is_not_overtaken_for_ever() -> None:
    """While one waits for all of it, those that come later wait behind it."""
    budget, order = ByteBudget(TOTAL), []
    holds, is_over = threading.Event(), threading.Event()

    def hold() -> None:
        with budget.taken(60):
            holds.set()
            is_over.wait(10)

    def take(size: int) -> None:
        with budget.taken(size):
            order.append(size)

    first = threading.Thread(target=hold)
    first.start()
    assert holds.wait(10)
    large = threading.Thread(target=take, args=[TOTAL])
    large.start()
    while not budget._next.locked():
        threading.Event().wait(0.001)
    small = threading.Thread(target=take, args=[10])
    small.start()
    is_over.set()
    for thread in (first, large, small):
        thread.join(10)
    assert order == [TOTAL, 10]
