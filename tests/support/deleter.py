"""A process that deletes messages of a store beside its server, and can be killed."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path

from support.linux_process import kill_process
from support.server import CHECKOUT, clean_environment
from support.started import Started

from app.errors import StorageUnavailable
from app.storage.message import Reason
from app.storage.sqlite.store import SQLiteStore

MOST_AT_ONCE = 10


@dataclass(frozen=True)
class Confirmation:
    """When somebody asked for a deletion, and when it was done (time.monotonic)."""

    asked: float
    answered: float


class Deleter(Started):
    """`asked` has all ids that it was told to delete, `confirmed` those of which it said so."""

    def __init__(self, data_dir: Path, erases_every: int = 4) -> None:
        """With each call of so many it erases, too."""
        self.asked = set[str]()
        self.confirmed: dict[str, Confirmation] = {}
        self._data_dir = data_dir
        self._erases_every = erases_every

    def pid(self) -> int | None:
        """Return the process id; None while there is nothing to delete."""
        return self._started.pid if self._started is not None else None

    def delete(self, message_ids: Sequence[str]) -> bool:
        """Delete messages in one call; return whether that was confirmed."""
        if self._started is not None and self._started.poll() is not None:
            self.kill()
        if self._started is None:
            self._start()
        self.asked.update(message_ids)
        asked = time.monotonic()
        answer = self._exchange(" ".join(message_ids))
        if answer != b"done\n":
            return False
        confirmation = Confirmation(asked, time.monotonic())
        self.confirmed |= dict.fromkeys(message_ids, confirmation)
        return True

    @contextmanager
    def at_work(self, choice: Callable[[], Iterable[str]]) -> Iterator[None]:
        """Delete the ids that `choice` returns, some at a time, while the context lasts.

        It goes on when it was killed, and is killed in the end.
        """
        done = threading.Event()

        def work() -> None:
            while not done.wait(0.01):
                chosen = (each for each in choice() if each not in self.asked)
                some = list(islice(chosen, MOST_AT_ONCE))
                if some:
                    self.delete(some)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            done.set()
            pid = self.pid()
            if pid is not None:
                kill_process(pid)
            thread.join()
            self.kill()

    def kill(self) -> None:
        """End it at once, if it runs; the next deletion starts it again."""
        if self._started is not None:
            with self._started as process:
                process.kill()
            self._started = None

    def forget_answers_in_flight(self, since: float, until: float) -> None:
        """Forget the confirmations of calls that were under way at a moment in between."""
        self.confirmed = {
            message_id: one
            for message_id, one in self.confirmed.items()
            if one.answered < since or one.asked > until
        }

    def _start(self) -> None:
        self._started = subprocess.Popen(
            [sys.executable, __file__, self._data_dir, str(self._erases_every)],
            cwd=CHECKOUT,
            env=clean_environment() | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests'}"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def _exchange(self, line: str) -> bytes:
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        with suppress(BrokenPipeError):  # it was killed
            process.stdin.write(line.encode() + b"\n")
            return process.stdout.readline()
        return b""


def _serve(data_dir: Path, erases_every: int) -> None:
    """Delete what the lines of standard input name, and erase every now and then."""
    with closing(SQLiteStore(data_dir)) as store:
        for number in count():
            line = sys.stdin.readline()
            if not line:
                return
            try:
                store.remove(line.split(), Reason.REQUEST)
                if number % erases_every == 0:
                    store.erase()
            except StorageUnavailable as error:
                print("failed", repr(error.__cause__ or error), flush=True)
            else:
                print("done", flush=True)


if __name__ == "__main__":
    _serve(Path(os.fsdecode(sys.argv[1])), int(sys.argv[2]))
