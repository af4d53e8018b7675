import os
import signal
import time
from pathlib import Path
from typing import NoReturn

import pytest
from support.linux_process import lives, name_of
from support.server import wait_for

from app.server import child_process
from app.server.child_process import ChildProcess
from app.server.gunicorn_internals.master import Master
from app.settings import Settings
from app.settings.model import assemble
from app.settings.schema import defaults

ROUNDS = 3


class Arbiter:
    """What a child takes from the master that it leaves."""

    SIGNALS = ()
    LISTENERS = ()
    WORKERS: dict[int, object] = {}  # noqa: RUF012 -- as in Gunicorn


class InForce:
    """The settings in force, which a test may replace."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self.renew()

    def renew(self, **given: object) -> None:
        """Put others in force, as a reload does."""
        self.settings = assemble(defaults() | {"data_dir": str(self._data_dir)} | given)


@pytest.fixture
def in_force(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> InForce:
    """Return the settings in force; what ends is started again at once."""
    made = InForce(tmp_path)
    monkeypatch.setattr(child_process, "RETRY_SECONDS", 0)
    monkeypatch.setattr(child_process, "loaded_settings", lambda: made.settings)
    return made


@pytest.fixture
def ran(tmp_path: Path) -> Path:
    """Return the file in which each process writes its id and the age that mail may have."""
    return tmp_path / "ran"


@pytest.fixture
def kept(in_force: InForce, ran: Path) -> ChildProcess:
    """Return the keeper of a process that is wanted unless retention_days is 99."""

    def run(settings: Settings) -> None:
        with ran.open("a") as file:
            file.write(f"{os.getpid()} {settings.retention.days}\n")
        while True:
            signal.pause()

    assert in_force.settings
    return ChildProcess(
        Master(Arbiter()), "test-child", run, lambda settings: settings.retention.days != 99
    )


@pytest.fixture
def finishing(ran: Path, in_force: InForce) -> ChildProcess:
    """Return the keeper of a process that ends once a file called like its age is there."""

    def run(settings: Settings) -> None:
        asked: list[int] = []
        signal.signal(signal.SIGTERM, lambda number, _: asked.append(number))
        with ran.open("a") as file:
            file.write(f"{os.getpid()} {settings.retention.days}\n")
        while not (asked and may_end(ran, settings.retention.days).exists()):
            time.sleep(0.01)

    assert in_force.settings
    return ChildProcess(Master(Arbiter()), "test-child", run, finishes=True)


def may_end(ran: Path, days: int) -> Path:
    """Return the file that lets a finishing process end."""
    return ran.with_name(f"{days} may end")


def fail(*_: object) -> NoReturn:
    """Fail as a limit of the system makes calls fail."""
    raise OSError(11, "Resource temporarily unavailable")


def runs(ran: Path, count: int) -> list[tuple[int, int]]:
    """Return the process ids and ages once there are `count` of them."""

    def lines() -> list[str] | None:
        found = ran.read_text().splitlines() if ran.exists() else []
        return found if len(found) == count else None

    return [(int(a), int(b)) for a, b in (line.split() for line in wait_for(lines))]


def test_it_runs_once_under_its_name(kept: ChildProcess, ran: Path) -> None:
    """However often the master looks, there is one, until it is stopped."""
    try:
        for _ in range(ROUNDS):
            kept.keep()
        [(pid, _)] = runs(ran, 1)
        assert name_of(pid) == "test-child"
        kept.keep()
        assert len(runs(ran, 1)) == 1
    finally:
        kept.stop()
    assert not lives(pid)
    os.waitpid(pid, 0)


def test_one_that_ended_is_started_again(kept: ChildProcess, ran: Path) -> None:
    """However it has ended."""
    kept.keep()
    [(first, _)] = runs(ran, 1)
    os.kill(first, signal.SIGKILL)
    os.waitpid(first, 0)
    kept.keep()
    [_, (second, _)] = runs(ran, 2)
    kept.stop()
    os.waitpid(second, 0)
    assert second != first


def test_new_settings_replace_it(kept: ChildProcess, ran: Path, in_force: InForce) -> None:
    """The old one has ended before the new one begins; unwanted, there is none."""
    kept.keep()
    [(first, _)] = runs(ran, 1)
    in_force.renew(retention_days=3)
    kept.keep()
    assert not lives(first)
    [_, (second, days)] = runs(ran, 2)
    assert days == 3
    in_force.renew(retention_days=99)
    kept.keep()
    assert not lives(second)
    kept.keep()
    for pid in (first, second):
        os.waitpid(pid, 0)
    assert len(runs(ran, 2)) == 2


def test_a_fork_that_fails_does_not_end_the_master(
    kept: ChildProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Mail goes on; the log has one line, however often it is tried again."""
    monkeypatch.setattr(os, "fork", fail)
    for _ in range(ROUNDS):
        kept.keep()
    assert caplog.messages == [
        "The test-child process can't be started: Resource temporarily unavailable. Trying again."
    ]


def test_a_process_that_cannot_be_watched_does_not_stay(
    kept: ChildProcess, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It would be in the way of its successors."""
    monkeypatch.setattr(os, "pidfd_open", fail)
    monkeypatch.setattr(ChildProcess, "_leave", lambda *_: signal.pause())
    kept.keep()
    _, status = os.waitpid(-1, 0)
    assert os.WTERMSIG(status) == signal.SIGKILL
    assert len(caplog.messages) == 1


def test_one_that_finishes_is_not_waited_for(
    finishing: ChildProcess, ran: Path, in_force: InForce
) -> None:
    """With new settings its successor begins at once, and it ends when it is ready."""
    in_force.renew(retention_days=1)
    finishing.keep()
    [(first, _)] = runs(ran, 1)
    in_force.renew(retention_days=2)
    finishing.keep()
    [_, (second, days)] = runs(ran, 2)
    assert days == 2
    assert lives(first)
    may_end(ran, 1).touch()
    assert os.waitpid(first, 0)[1] == 0
    finishing.keep()
    assert len(runs(ran, 2)) == 2
    finishing.stop()
    os.waitpid(second, 0)


def test_at_the_end_it_may_finish_and_has_no_successor(
    finishing: ChildProcess, ran: Path, in_force: InForce
) -> None:
    """It isn't killed, and isn't started again, whatever the settings are."""
    in_force.renew(retention_days=1)
    finishing.keep()
    [(pid, _)] = runs(ran, 1)
    finishing.finish()
    finishing.finish()
    assert not finishing.has_finished()
    may_end(ran, 1).touch()
    wait_for(finishing.has_finished)
    assert os.waitpid(pid, 0)[1] == 0
    in_force.renew(retention_days=2)
    finishing.keep()
    finishing.stop()
    assert len(runs(ran, 1)) == 1


def test_what_does_not_finish_is_killed_in_the_end(
    finishing: ChildProcess, ran: Path, in_force: InForce
) -> None:
    """Those that were replaced, too: the master leaves nobody behind."""
    pids = []
    for count in (1, 2, 3):
        in_force.renew(retention_days=count)
        finishing.keep()
        pids.append(runs(ran, count)[-1][0])
    finishing.finish()
    assert not finishing.has_finished()
    finishing.stop()
    for pid in pids:
        assert os.WTERMSIG(os.waitpid(pid, 0)[1]) == signal.SIGKILL


def test_one_that_has_nothing_to_finish_goes_on(kept: ChildProcess, ran: Path) -> None:
    """As the metrics port does during the drain, which doesn't wait for it."""
    kept.keep()
    [(pid, _)] = runs(ran, 1)
    kept.finish()
    assert kept.has_finished()
    kept.keep()
    assert lives(pid)
    kept.stop()
    os.waitpid(pid, 0)
