"""Ends calls of a library on time that nothing can end from outside."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")


class Deadline:
    """A moment until which several calls have to be done, `seconds` from now on."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def has_passed(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() >= self._at

    def call(
        self, function: Callable[[], Result], undo: Callable[[], object] | None = None
    ) -> Result:
        """Return what `function` does, or raise TimeoutError when it is too late.

        It is called in a thread of its own, where it may end later; what it has done then is taken
        back by `undo`. Threads aren't kept: at the exit of the process it would be waited for them.
        """
        future: Future[Result] = Future()
        threading.Thread(target=_run, args=(future, function, undo), daemon=True).start()
        try:
            return future.result(max(0.0, self._at - time.monotonic()))
        except TimeoutError:
            if future.cancel():
                raise
            return future.result()


def _run(
    future: "Future[Result]", function: Callable[[], Result], undo: Callable[[], object] | None
) -> None:
    try:
        result = function()
    except BaseException as error:  # noqa: BLE001 -- the caller gets it
        if future.set_running_or_notify_cancel():
            future.set_exception(error)
        return
    if future.set_running_or_notify_cancel():
        future.set_result(result)
    elif undo is not None:
        undo()
