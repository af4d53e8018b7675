import os

import pytest

from app.server.processors import own_processor


@pytest.fixture
def four_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process be allowed to use processors 1, 3, 5 and 7."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {7, 5, 3, 1})


def placed(count: int, others: list[int | None]) -> list[int | None]:
    """Return where `count` new workers go beside `others`, one after the other."""
    places = list(others)
    for _ in range(count):
        places.append(own_processor(places, 4))
    return places[len(others) :]


@pytest.mark.usefixtures("four_processors")
def test_each_worker_gets_a_processor_of_its_own() -> None:
    """As long as there is one; then each has as many as the others."""
    assert placed(4, []) == [1, 3, 5, 7]
    assert placed(8, []) == [1, 3, 5, 7, 1, 3, 5, 7]


@pytest.mark.usefixtures("four_processors")
def test_a_successor_takes_the_place_that_became_free() -> None:
    """Whatever slots they have: one that dies in the middle of a reload leaves no gap."""
    assert placed(1, [1, 3, 7]) == [5]
    assert placed(2, [1, 3, 5, 7, 1, 5]) == [3, 7]


@pytest.mark.usefixtures("four_processors")
def test_fewer_workers_than_processors_may_run_anywhere() -> None:
    """The machine has other work, for which they have to make room."""
    assert own_processor([], 3) is None


@pytest.mark.usefixtures("four_processors")
def test_workers_that_cannot_be_spread_evenly_may_run_anywhere() -> None:
    """Five on four would leave two with half a processor each."""
    assert own_processor([], 5) is None
    assert own_processor([], 8) == 1
