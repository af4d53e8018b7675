"""Work in a process that is killed, at its end or at any of its steps."""

import json
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

Report = Callable[[object], None]
Work = Callable[[Report], None]

_PART = f"{os.sep}app{os.sep}storage{os.sep}"


def killed_after(work: Work) -> list[Any]:
    """Do `work` in a process that nothing of it outlives; return what it has reported (JSON)."""
    return _reports_of(work, None)


def steps_of(work: Work) -> int:
    """Return how many steps `work` has: calls and returns of functions in app.storage.

    Those that its functions call count, too; a system call, for instance, has a step before it and
    one behind it. It is done in a process of its own, which is killed.
    """

    def count(report: Report) -> None:
        steps = 0

        def note(frame: FrameType, _event: str, _argument: object) -> None:
            nonlocal steps
            steps += _PART in frame.f_code.co_filename

        sys.setprofile(note)
        work(lambda _: None)
        sys.setprofile(None)
        report(steps)

    [steps] = killed_after(count)
    return int(steps)


def killed_at(step: int, work: Work) -> list[Any]:
    """Do `work` in a process that is killed at a step; return what it has reported until then."""
    return _reports_of(work, step)


def _reports_of(work: Work, step: int | None) -> list[Any]:
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        _work_and_die(work, step, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as reports:
        lines = reports.readlines()
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), "".join(lines)
    assert os.WTERMSIG(status) == signal.SIGKILL
    return [json.loads(line) for line in lines]


def _work_and_die(work: Work, step: int | None, writing: int) -> None:
    def report(what: object) -> None:
        os.write(writing, json.dumps(what).encode() + b"\n")

    left = step

    def count_down(frame: FrameType, _event: str, _argument: object) -> None:
        nonlocal left
        if _PART in frame.f_code.co_filename and left is not None:
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        if step is not None:
            sys.setprofile(count_down)
        work(report)
    except BaseException as error:  # noqa: BLE001 -- nothing may return into the test's own process
        os.write(writing, f"{error!r}\n".encode())
        os._exit(1)
    os.kill(os.getpid(), signal.SIGKILL)
