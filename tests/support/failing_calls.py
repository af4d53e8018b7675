"""System calls of running processes that fail, by way of strace."""

import subprocess
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from support.linux_process import traced
from support.requirement import require, require_program, require_root
from support.server import wait_for

END_SECONDS = 5


class FailingCalls:
    """What strace has seen so far."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def hits(self) -> list[str]:
        """Return the calls that were made to fail, as strace writes them."""
        with suppress(FileNotFoundError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
            return [line for line in lines if "(INJECTED)" in line]
        return []


@contextmanager
def failing_calls(
    pids: Collection[int], rules: Sequence[str], log: Path, paths: Iterable[Path] = ()
) -> Iterator[FailingCalls]:
    """While it lasts, `rules` hold for all threads of the processes `pids`.

    A rule is what strace calls an injection: `fsync:error=EIO:when=2`. strace counts the calls of
    each thread. With `paths` only calls count that are about one of these files. `log` is a file
    for strace to write.
    """
    require_root()
    command: list[str | Path] = [require_program("strace"), "-f", "-qq", "-y", "-o", log]
    command += ["-e", "trace=" + ",".join(rule.partition(":")[0] for rule in rules)]
    for rule in rules:
        command += ["-e", f"inject={rule}"]
    for path in paths:
        command += ["-P", path]
    for pid in pids:
        command += ["-p", str(pid)]
    log.unlink(missing_ok=True)
    errors = log.with_name(f"{log.name}.errors")
    with errors.open("wb") as output, subprocess.Popen(command, stderr=output) as strace:
        try:
            wait_for(lambda: strace.poll() is not None or all(map(traced, pids)))
            require(strace.poll() is None, f"strace says: {errors.read_text(encoding='utf-8')}")
            yield FailingCalls(log)
        finally:
            _end(strace)
    wait_for(lambda: not any(map(traced, pids)))


def _end(strace: "subprocess.Popen[bytes]") -> None:
    strace.terminate()
    try:
        strace.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        # Told to end while its process dies, strace may wait for that one for ever.
        strace.kill()


def database_files(data_dir: Path) -> list[Path]:
    """Return the files that SQLite writes."""
    return [Path(f"{data_dir / 'gomail.db'}{suffix}") for suffix in ("", "-wal", "-shm")]
