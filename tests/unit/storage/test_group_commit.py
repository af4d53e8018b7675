import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from app.storage.group_commit import GroupCommit

SECONDS = 30  # nothing takes that long unless it hangs


class Ledger:
    """Commits by writing down who was committed together; can be held, and can fail."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.failures: dict[int, BaseException] = {}
        self.entered = threading.Semaphore(0)
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self._alone = threading.Lock()

    def commit(self, group: Sequence[int]) -> None:
        assert self._alone.acquire(blocking=False), "two commits at a time"
        try:
            self.entered.release()
            assert self.may_go_on.wait(SECONDS)
            for work in group:
                if work in self.failures:
                    raise self.failures[work]
            self.groups.append(list(group))
        finally:
            self._alone.release()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def group(ledger: Ledger) -> GroupCommit[int]:
    return GroupCommit(ledger.commit, 4)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as pool:
        yield pool


def begin(
    pool: ThreadPoolExecutor, group: GroupCommit[int], ledger: Ledger, followers: int
) -> list[Future[None]]:
    """Add 0, whose commit is held, then 1, 2, ... in that order, all of which wait."""
    ledger.may_go_on.clear()
    added = [pool.submit(group.add, 0)]
    assert ledger.entered.acquire(timeout=SECONDS)
    for number in range(1, followers + 1):
        added.append(pool.submit(group.add, number))
        end = time.monotonic() + SECONDS
        while len(group._waiting) < number:  # nothing else tells that a thread waits
            assert time.monotonic() < end
            time.sleep(0.0005)
    return added


def test_a_lone_piece_is_committed_at_once_and_alone(
    group: GroupCommit[int], ledger: Ledger
) -> None:
    """Without others the caller's own thread commits, and waits for nobody."""
    for number in range(3):
        group.add(number)
    assert ledger.groups == [[0], [1], [2]]


def test_those_that_come_meanwhile_are_committed_together(
    group: GroupCommit[int], ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    """The commit that runs isn't joined; the next one takes all that wait, in their order."""
    added = begin(pool, group, ledger, followers=3)
    ledger.may_go_on.set()
    for each in added:
        each.result(SECONDS)
    assert ledger.groups == [[0], [1, 2, 3]]


def test_a_group_is_bounded(
    group: GroupCommit[int], ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    """More than the most at once are committed in several groups, the first come first."""
    added = begin(pool, group, ledger, followers=10)
    ledger.may_go_on.set()
    for each in added:
        each.result(SECONDS)
    assert ledger.groups == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_nobody_returns_before_its_commit(
    group: GroupCommit[int], ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    """While a commit runs its group waits; the end of the one before isn't taken for its own."""
    added = begin(pool, group, ledger, followers=2)
    assert not any(each.done() for each in added)

    second_runs, go_on = threading.Event(), threading.Event()

    def stopped(_work: Sequence[int]) -> None:
        second_runs.set()
        assert go_on.wait(SECONDS)

    group._commit = stopped  # the first commit is under way already
    ledger.may_go_on.set()
    assert second_runs.wait(SECONDS)
    added[0].result(SECONDS)
    assert not added[1].done()
    assert not added[2].done()
    go_on.set()
    for each in added:
        each.result(SECONDS)


@pytest.mark.parametrize(
    "failure", [OSError(5, "broken"), MemoryError(), SystemExit(1), KeyboardInterrupt()], ids=repr
)
def test_a_failure_is_told_to_its_group_and_nobody_else(
    group: GroupCommit[int], ledger: Ledger, pool: ThreadPoolExecutor, failure: BaseException
) -> None:
    """Whatever a commit raises, each of its group raises from it, and the next group goes on."""
    ledger.failures[2] = failure
    added = begin(pool, group, ledger, followers=6)
    ledger.may_go_on.set()
    for number, each in enumerate(added):
        caught = each.exception(SECONDS)
        if 1 <= number <= 4:
            assert isinstance(caught, RuntimeError)
            assert caught.__cause__ is failure
        else:
            assert caught is None
    assert ledger.groups == [[0], [5, 6]]


def test_a_leader_that_fails_hands_over(
    group: GroupCommit[int], ledger: Ledger, pool: ThreadPoolExecutor
) -> None:
    """Who waits behind a failed commit isn't forgotten, nor who comes when nobody waits."""
    ledger.failures[0] = MemoryError()
    added = begin(pool, group, ledger, followers=1)
    ledger.may_go_on.set()
    with pytest.raises(RuntimeError):
        added[0].result(SECONDS)
    added[1].result(SECONDS)

    ledger.failures[7] = MemoryError()
    with pytest.raises(RuntimeError):
        group.add(7)
    pool.submit(group.add, 8).result(SECONDS)
    assert ledger.groups == [[1], [8]]


def test_of_many_threads_nothing_is_lost_or_done_twice(pool: ThreadPoolExecutor) -> None:
    """64 threads, 6,400 pieces, every fifth commit fails: each is done once, or its caller told."""
    committed: Counter[int] = Counter()
    commits = 0

    def commit(works: Sequence[int]) -> None:
        nonlocal commits
        commits += 1
        if commits % 5 == 0:
            raise OSError(5, "broken")
        assert 1 <= len(works) <= 8
        committed.update(works)

    group = GroupCommit(commit, 8)

    def add_hundred(first: int) -> list[int]:
        failed = []
        for number in range(first, first + 100):
            try:
                group.add(number)
            except RuntimeError:
                failed.append(number)
            else:
                assert committed[number] == 1
        return failed

    added = [pool.submit(add_hundred, first) for first in range(0, 6400, 100)]
    failed = [number for each in added for number in each.result(SECONDS)]
    assert len(failed) > 0
    assert set(committed.values()) == {1}
    assert sorted([*committed, *failed]) == list(range(6400))
