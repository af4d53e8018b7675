"""What a soak has measured, beside the bounds of it."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from support.records import recorded_messages
from support.server import Server
from support.soak_load import SoakLoad

from app.server.gunicorn_internals.threads import RESERVED_THREADS
from app.settings.model import WAITING_THREADS
from app.storage.interface import Query
from app.storage.sqlite.store import SQLiteStore

MIB = 1024 * 1024
LOG_BYTES = 64 * MIB
# How much the median of the last third may be above that of the first: a part of it, and some.
BOUNDS = {"descriptors": (0, 3), "threads": (0, 1), "resident": (0.05, 4 * MIB)}
THREADS = 8
MOST_THREADS = THREADS + WAITING_THREADS + RESERVED_THREADS + 3
ROUTE = "/mail/inbound"

Series = tuple[str, int, str]  # of which process: what it is, its id, and what is counted


@dataclass(frozen=True)
class Sample:
    """The size of SQLite's log at one moment, and what master and workers have of each kind."""

    log_bytes: int
    counts: dict[Series, int]


def sample(server: Server) -> Sample:
    """Return what there is at this moment."""
    pids = {"master": server.pid}
    pids |= {f"worker {number}": pid for number, pid in enumerate(sorted(server.worker_pids()))}
    counts = {
        (name, pid, kind): value
        for name, pid in pids.items()
        for kind, value in of_process(pid).items()
    }
    return Sample(largest_log(server), counts)


def of_process(pid: int) -> dict[str, int]:
    """Return what /proc tells of the process `pid`; nothing when it has just ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
        return {
            "descriptors": len(list(Path(f"/proc/{pid}/fd").iterdir())),
            "threads": _field(status, "Threads"),
            "resident": _field(status, "VmRSS") * 1024,
        }
    except (OSError, IndexError):
        return {}


def _field(status: str, name: str) -> int:
    return int(status.partition(f"\n{name}:")[2].split()[0])


def largest_log(server: Server) -> int:
    """Return the size of SQLite's log."""
    log = server.data_dir / "gomail.db-wal"
    return log.stat().st_size if log.exists() else 0


class Verdict:
    """The rows of the table, and the breaches among them."""

    def __init__(self) -> None:
        self._rows: list[tuple[str, str, str, str]] = []
        self.breaches = 0

    def flat(self, samples: Sequence[Sample]) -> None:
        """Compare the first third of `samples` with the last, for each process."""
        third = len(samples) // 3
        keys = [key for key in samples[0].counts if key in samples[-1].counts]
        self._equal("series watched", len(keys), 3 * len(BOUNDS))
        for name, pid, kind in keys:
            key = (name, pid, kind)
            series = [each.counts[key] for each in samples if key in each.counts]
            first, last = median(series[:third]), median(series[-third:])
            part, some = BOUNDS[kind]
            bound = first * (1 + part) + some
            if kind == "threads" and name != "master":
                bound = MOST_THREADS  # a pool fills up to its end as requests overlap
            self._check(f"{kind} of {name}", f"{first:,.0f} → {last:,.0f}", bound, last <= bound)

    def log(self, size: int) -> None:
        """Judge the largest size of SQLite's log."""
        self._check("bytes of the WAL file", f"{size:,}", LOG_BYTES, size <= LOG_BYTES)

    def counts(self, server: Server, load: SoakLoad) -> None:
        """Compare what the clients, the counters and the rows say."""
        scrape = server.scrape()
        self._equal("requests without the answer due", len(load.wrong), 0)
        for text in load.wrong[:5]:
            self._rows.append(("", "", text, ""))
        rows, is_whole = _rows_of(server)
        self._equal("rows, as the clients count", rows, load.stored)
        self._equal("rows whose bytes match", is_whole, rows)
        for status, count in (("success", load.stored), ("duplicate", load.duplicates)):
            self._equal(status, scrape.value("emails_processed_total", status=status), count)
        for number, count in sorted(load.statuses.items()):
            counted = scrape.value("http_requests_total", endpoint=ROUTE, status=str(number))
            self._equal(f"answers {number}", counted, count)

    def said(self, server: Server) -> None:
        """Judge what is left when the server has stopped: segments, errors."""
        with closing(SQLiteStore(server.data_dir)) as store:
            named = sorted(row.message_id for row in store.search(Query()))
        kept = sorted(recorded_messages(server.data_dir))
        self._check(
            "records in segments, one for each row",
            f"{len(kept):,}",
            f"= {len(named):,}",
            kept == named,
        )
        errors = [line for line in server.log() if line["level"] in {"ERROR", "CRITICAL"}]
        self._equal("errors in the log", len(errors), 0)
        self._rows += [("", "", str(line)[:500], "") for line in errors[:5]]
        self._equal("bytes on standard error", len(server.errors()), 0)

    def table(self) -> str:
        """Return all of it as text."""
        lines = [
            f"{mark:6} {what:36} {value:>26}  {bound}" for mark, what, value, bound in self._rows
        ]
        return "\n".join([*lines, f"{self.breaches} breaches"])

    def _equal(self, what: str, found: float, expected: float) -> None:
        self._check(what, f"{found:,.0f}", f"= {expected:,.0f}", found == expected)

    def _check(self, what: str, found: object, bound: float | str, holds: bool) -> None:
        self.breaches += not holds
        allowed = f"at most {bound:,.0f}" if isinstance(bound, int | float) else bound
        self._rows.append(("ok" if holds else "BREACH", what, str(found), allowed))


def _rows_of(server: Server) -> tuple[int, int]:
    """Return how many rows there are, and how many of their bytes match their checksums."""
    with closing(SQLiteStore(server.data_dir)) as store:
        rows = list(store.search(Query()))
        return len(rows), sum(len(store.read(row.message_id)) == row.size for row in rows)
