"""What Linux tells of other processes, and how one is ended."""

import os
import resource
import signal
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path


def children(pid: int) -> list[int]:
    """Return the process ids of the children of `pid`, whichever of its threads made them."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, file.read_text(encoding="ascii").split())
    return found


def name_of(pid: int) -> str:
    """Return the name of the process `pid`, as `ps` shows it; "" if it is gone."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
    return ""


def catches(pid: int, number: int) -> bool:
    """Tell whether the process `pid` has a handler for the signal `number`; True if it is gone."""
    mask = _mask(pid, "SigCgt")
    return mask is None or _has(mask, number)


def ignores(pid: int, number: int) -> bool:
    """Tell whether the process `pid` ignores the signal `number`; False if it is gone."""
    mask = _mask(pid, "SigIgn")
    return mask is not None and _has(mask, number)


def lives(pid: int) -> bool:
    """Tell whether the process `pid` runs; one that has ended may still be waited for."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return state.rpartition(")")[2].split()[0] not in {"Z", "X"}
    return False


def traced(pid: int) -> bool:
    """Tell whether a debugger or strace is attached to all threads of the process `pid`."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    return all("TracerPid:\t0\n" not in _status(task.name) for task in tasks)


def is_stopped(pid: int) -> bool:
    """Tell whether all threads of the process `pid` stand still, also under strace."""
    tasks = list(Path(f"/proc/{pid}/task").iterdir())
    return all(_status(task.name).partition("State:\t")[2][0] in "Tt" for task in tasks)


def kill_process(pid: int) -> None:
    """Send SIGKILL to `pid`, which may have ended already."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def threads(pids: Collection[int]) -> int:
    """Return how many threads the processes `pids` have together."""
    return sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in pids)


def waits(pid: int) -> int:
    """Return how often the main thread of `pid` has waited for something."""
    [line] = [each for each in _status(pid).splitlines() if each.startswith("voluntary")]
    return int(line.split()[1])


def resident_bytes(pids: Collection[int]) -> int:
    """Return the resident memory of the processes `pids` together."""
    pages = [Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1] for pid in pids]
    return sum(map(int, pages)) * resource.getpagesize()


def peak_resident_bytes(pids: Collection[int]) -> int:
    """Return how much memory the processes `pids` had at most, together."""
    texts = (Path(f"/proc/{pid}/status").read_text(encoding="utf-8") for pid in pids)
    return sum(int(text.partition("VmHWM:")[2].split()[0]) * 1024 for text in texts)


def proportional_bytes(pid: int) -> int:
    """Return the proportional set size of the process `pid`, without mapped files.

    The processes of other tests share the libraries, and would make this one larger by ending.
    """
    text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    anonymous, shared = (
        text.partition(f"\nPss_{kind}:")[2].split()[0] for kind in ("Anon", "Shmem")
    )
    return (int(anonymous) + int(shared)) * 1024


def _mask(pid: int, field: str) -> int | None:
    with suppress(FileNotFoundError, ProcessLookupError):
        return int(_status(pid).partition(f"{field}:")[2].split()[0], 16)
    return None


def _status(pid: int | str) -> str:
    return Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")


def _has(mask: int, number: int) -> bool:
    return bool(mask >> (number - 1) & 1)


def in_child(work: Callable[[], object]) -> None:
    """Run `work` in a forked process; its exit code must be 0."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0
