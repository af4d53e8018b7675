import errno
from types import SimpleNamespace
from typing import Any

import pytest

from app.server.gunicorn_internals.master import Master


def arbiter(error: OSError) -> tuple[Any, list[str]]:
    """Return a stand-in for Gunicorn's master, which can't fork, and what is closed."""
    closed: list[str] = []
    tmp = SimpleNamespace(close=lambda: closed.append("tmp"))

    def spawn_worker() -> None:
        raise error

    unborn = SimpleNamespace(tmp=tmp)
    return SimpleNamespace(spawn_worker=spawn_worker, unborn=unborn), closed


def test_a_fork_that_fails_does_not_end_the_master() -> None:
    """What the worker had got is given back; the main loop tries again a second later."""
    master, closed = arbiter(BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"))
    given_back: list[Any] = []
    Master(master).survive_failed_forks(given_back.append)
    master.spawn_worker()
    assert (closed, given_back) == (["tmp"], [master.unborn])


def test_another_failure_ends_it() -> None:
    """As before: it isn't known what would help."""
    master, _ = arbiter(PermissionError(errno.EPERM, "Operation not permitted"))
    Master(master).survive_failed_forks(lambda _: None)
    with pytest.raises(PermissionError):
        master.spawn_worker()
