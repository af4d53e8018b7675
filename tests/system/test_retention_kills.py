"""Retention that is killed at each of its steps, and goes on."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from support.old_mail import files_with, store_old_mail
from support.requirement import require_program
from support.rounds import rounds

from app.settings import Storage
from app.storage.interface import Query
from app.storage.preparation import prepare_store
from app.storage.sqlite.store import SQLiteStore

OVERDUE, IN_TIME = b"overdueword", b"intimeword"
EVERY = {"fdatasync": 1, "writev": 1, "fallocate": 1, "ftruncate": 1, "pwrite64": 20}
"""The calls at which it is killed: at each, or, where they are many, at every twentieth."""
RUN = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from app.retention.expiry import Expiry
from app.settings.model import Retention
from app.storage.sqlite.store import SQLiteStore
store = SQLiteStore(Path(sys.argv[1]))
limits = Retention(days=30, max_bytes=0, deduplication_days=7)
Expiry(store, limits, lambda: datetime.now(UTC), time.monotonic, lambda _: None).run()
"""


def run(data_dir: Path, kill_at: str | None = None) -> bool:
    """Run retention once in a process of its own, killed at `kill_at`; return if it ended well."""
    command = [sys.executable, "-c", RUN, str(data_dir)]
    if kill_at:
        rules = ["-f", "-qq", "-o", "/dev/null", "-e", f"inject={kill_at}"]
        command = [require_program("strace"), *rules, *command]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def stored(data_dir: Path) -> list[str]:
    """Return the ids of what is stored, in order."""
    with closing(SQLiteStore(data_dir)) as store:
        return sorted(each.message_id for each in store.search(Query()))


@pytest.mark.parametrize("call", EVERY)
def test_a_kill_at_each_call_loses_nothing_and_leaves_nothing(
    data_dir: Path, call: str, record_property: Callable[[str, object], None]
) -> None:
    """What may stay is whole, a start goes on from there, and the next run does the rest."""
    kept = store_old_mail(data_dir, 30, 1, IN_TIME)
    kills = 0
    while kills < rounds(1000, 3):
        store_old_mail(data_dir, 40, 31, OVERDUE)
        if run(data_dir, f"{call}:signal=SIGKILL:when={kills * EVERY[call] + 1}"):
            break  # there are no more such calls
        kills += 1
        assert set(kept) <= set(stored(data_dir))
        prepare_store(Storage(data_dir))
        assert run(data_dir)
        assert stored(data_dir) == sorted(kept)
        assert files_with(data_dir, OVERDUE) == []
    with closing(SQLiteStore(data_dir)) as store:
        assert all(IN_TIME in store.read(each) for each in kept)
    record_property("rounds", f"{kills} kills at {call}")
