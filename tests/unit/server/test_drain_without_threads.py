import os
import signal
import threading
from pathlib import Path

import pytest

from app.server.drain import Drain
from app.server.gunicorn_internals.master import Master
from app.state.shutdowns import read_shutdowns
from app.state.slots import Slots


class EndingMaster(Master):
    """A master without ports or workers; notes what it is told at the end."""

    graceful_timeout = 10

    def __init__(self) -> None:
        super().__init__(None)
        self.ends: list[int] = []

    def listeners_live_on(self) -> bool:
        return True

    def reload_only_if(self, _is_allowed: object) -> None:
        """Nothing is reloaded here."""

    def end(self, seconds: int) -> None:
        self.ends.append(seconds)


def test_a_drain_needs_no_new_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At a limit of processes SIGTERM still ends the server gracefully, and is recorded."""

    def refuse_to_start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    master = EndingMaster()
    handled = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
    before = [signal.getsignal(number) for number in handled]
    Drain(master, Slots(), tmp_path).install()
    monkeypatch.setattr(threading.Thread, "start", refuse_to_start)
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)
    assert [seconds > 0 for seconds in master.ends] == [True]
    assert read_shutdowns(tmp_path)["graceful"]["count"] == 1
