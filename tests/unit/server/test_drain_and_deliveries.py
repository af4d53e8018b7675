import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.server import wait_for

from app.server import drain
from app.server.child_process import ChildProcess
from app.server.drain import Drain
from app.server.gunicorn_internals.master import Master
from app.state.shutdowns import read_shutdowns
from app.state.slots import Slots

HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


class EndingMaster(Master):
    """A master without ports or workers; notes that it was told to end."""

    def __init__(self) -> None:
        super().__init__(None)
        self.timeout = 10
        self.has_ended = False

    @property
    def graceful_timeout(self) -> int:
        return self.timeout

    def listeners_live_on(self) -> bool:
        return True

    def reload_only_if(self, _is_allowed: object) -> None:
        """Nothing is reloaded here."""

    def end(self, _seconds: int) -> None:
        self.has_ended = True


class Delivering(ChildProcess):
    """A delivery process that has finished when a test says so."""

    def __init__(self, master: Master) -> None:
        super().__init__(master, "deliveries", lambda _: None, finishes=True)
        self.was_told = False
        self.is_over = False

    def finish(self) -> None:
        self.was_told = True

    def has_finished(self) -> bool:
        return self.is_over


@pytest.fixture
def master() -> Iterator[EndingMaster]:
    """Return a master; the handlers of signals are put back afterwards."""
    before = [signal.getsignal(number) for number in HANDLED]
    yield EndingMaster()
    for number, handler in zip(HANDLED, before, strict=True):
        signal.signal(number, handler)


def begin(master: EndingMaster, data_dir: Path) -> Delivering:
    """Let the drain begin; return the delivery process that it is about."""
    child = Delivering(master)
    Drain(master, Slots(), data_dir, [child]).install()
    os.kill(os.getpid(), signal.SIGTERM)
    return child


def test_requests_to_endpoints_are_waited_for(
    master: EndingMaster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The delivery process is told at once; the end comes when it has finished."""
    caplog.set_level("INFO")
    monkeypatch.setattr(drain, "REPORT_SECONDS", 0.2)
    child = begin(master, tmp_path)
    assert child.was_told
    wait_for(lambda: "Still waiting for requests to endpoints" in caplog.messages)
    assert not master.has_ended
    child.is_over = True
    wait_for(lambda: master.has_ended)
    assert read_shutdowns(tmp_path)["graceful"]["count"] == 1
    assert not [each for each in caplog.records if each.levelname == "WARNING"]


def test_they_are_not_waited_for_longer_than_shutdown_timeout(
    master: EndingMaster, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so. No client was cut off, so it is no forced shutdown."""
    master.timeout = 1
    began = time.monotonic()
    begin(master, tmp_path)
    wait_for(lambda: master.has_ended)
    assert time.monotonic() - began >= 1
    warnings = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert warnings == ["Requests to endpoints are cut off, and repeated after the next start"]
    assert read_shutdowns(tmp_path)["graceful"]["count"] == 1


def test_a_second_signal_ends_the_wait(master: EndingMaster, tmp_path: Path) -> None:
    """Whoever can't wait loses nothing by that: what is cut off is repeated."""
    begin(master, tmp_path)
    os.kill(os.getpid(), signal.SIGTERM)
    wait_for(lambda: master.has_ended, 2)
