"""How fast durable mail is, beside what isn't durable: `python benchmarks/bench_delivery.py`.

A is the floor, a Flask view that reads the body and answers. B makes each message durable in the
usual way. C is GoMail with everything on. All three have the same number of workers and threads,
run on the same machine in the same minutes, and take turns; each figure is a median.
"""

import argparse
import json
import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import count
from pathlib import Path

import bench_cpu
from subject import HERE, THREADS, TOKEN, WORKERS, Subject, subjects

SIZES = {"4 KiB": 4 * 1024, "64 KiB": 64 * 1024, "5 MiB": 5 * 1024 * 1024}
CONNECTIONS = (1, 16, 64)
ROUNDS = 5
SECONDS = 4
_RUNS = count()

HEAD = """\
# Benchmarks

How fast GoMail is, compared with a bare Flask view and with storing each message in a file.
`make bench` writes this page in about fifteen minutes; don't edit it. It needs root and Postfix.

The three take turns in one run on one machine; the figures are medians of {rounds} rounds of
{seconds} seconds each. Compare the ratios, since the figures depend on the machine. The load
generator (wrk) runs on the same cores.

- A, the floor: a Flask view that reads the body and answers.
- B, the usual way: the same, plus a file for each message: fsync, rename, fsync of the directory.
- C, GoMail with everything on: token, rate limit, metrics, JSON log; durable, stored once.

{date}, {cores} cores, Linux {kernel}, Python {python}, Gunicorn {gunicorn}, Flask {flask}, SQLite
{sqlite}; {workers} workers with {threads} threads each, for all three.

"C / this" is how many requests GoMail handles for each one of that row. CPU s is the CPU time of
the server's processes for 1,000 requests; MiB is the memory they use together.
"""
TABLE_HEAD = (
    "| | requests/s (from, to) | C / this | p50 ms | p99 ms | CPU s | MiB | not 200 |",
    "|---|---|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Figures:
    """What one run of wrk has shown; or of several, the median of each."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_seconds: float
    memory_bytes: float
    bad: float


def main() -> None:
    """Measure each size and number of connections; print the tables, and write them if asked to."""
    options = arguments()
    wrk = shutil.which("wrk") or sys.exit("wrk isn't installed")
    parts = [head(options), bench_cpu.sections()]
    if options.write:
        parts.append(peers())
    for size in options.sizes:
        for connections in options.connections:
            found = measure(wrk, size, connections, options)
            parts.append(table(size, connections, found))
            print(parts[-1], flush=True)
    if options.write:
        page = "\n".join(part.rstrip("\n") + "\n" for part in parts)
        options.write.write_text(page, encoding="utf-8")


def peers() -> str:
    """Return the section about scripts in Postfix; needs root and tests/ on the path."""
    import bench_peers  # noqa: PLC0415

    return bench_peers.section()


def head(options: argparse.Namespace) -> str:
    """Return what the page says before its tables."""
    return HEAD.format(
        date=datetime.now(UTC).date(),
        cores=os.cpu_count(),
        python=platform.python_version(),
        gunicorn=version("gunicorn"),
        flask=version("flask"),
        sqlite=sqlite3.sqlite_version,
        kernel=platform.release().partition("-")[0],
        workers=WORKERS,
        threads=THREADS,
        rounds=options.rounds,
        seconds=options.seconds,
    )


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--connections", nargs="+", type=int, default=list(CONNECTIONS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
    parser.add_argument("--write", type=Path, metavar="FILE", help="write the page there")
    return parser.parse_args()


def measure(
    wrk: str, size: str, connections: int, options: argparse.Namespace
) -> dict[str, list[Figures]]:
    """Return the figures of each round of each subject."""
    found: dict[str, list[Figures]] = {}
    with ExitStack() as stack:
        running = [stack.enter_context(subject) for subject in subjects()]
        for subject in running:
            run(wrk, subject, SIZES[size], connections, 1)  # caches, connections, threads
        for number in range(options.rounds):
            for subject in rotated(running, number):
                figures = run(wrk, subject, SIZES[size], connections, options.seconds)
                found.setdefault(subject.name, []).append(figures)
    return dict(sorted(found.items()))


def rotated(running: list[Subject], number: int) -> Iterator[Subject]:
    """Yield all, another one first in each round."""
    shift = number % len(running)
    yield from running[shift:] + running[:shift]


def run(wrk: str, subject: Subject, size: int, connections: int, seconds: int) -> Figures:
    """Load `subject` for `seconds`."""
    threads = min(2, connections)
    before = subject.cpu_seconds()
    printed = subprocess.run(
        [
            *(wrk, "--threads", str(threads), "--connections", str(connections)),
            *("--duration", f"{seconds}s", "--timeout", "30s"),
            *("--script", str(HERE / "deliver.lua"), subject.url),
            *("--", TOKEN, str(size), f"run{next(_RUNS)}"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    wrk_says = json.loads(printed.splitlines()[-1])
    used = subject.cpu_seconds() - before
    return Figures(
        rate=wrk_says["requests"] / wrk_says["seconds"],
        p50_ms=wrk_says["p50_ms"],
        p99_ms=wrk_says["p99_ms"],
        cpu_seconds=used / max(wrk_says["requests"], 1) * 1000,
        memory_bytes=subject.memory_bytes(),
        bad=wrk_says["bad"],
    )


def median(rounds: list[Figures]) -> Figures:
    """Return the median of each figure."""
    names = Figures.__dataclass_fields__
    return Figures(
        **{name: statistics.median(getattr(each, name) for each in rounds) for name in names}
    )


def table(size: str, connections: int, found: dict[str, list[Figures]]) -> str:
    """Return the medians, the spread of the rates, and what C is in the units of each."""
    medians = {name: median(rounds) for name, rounds in found.items()}
    gomail = medians["C GoMail"].rate
    noun = "connection" if connections == 1 else "connections"
    lines = [f"## {size}, {connections} {noun}", "", *TABLE_HEAD]
    for name, one in medians.items():
        rates = [each.rate for each in found[name]]
        cells = [
            name,
            f"{one.rate:.0f} ({min(rates):.0f} to {max(rates):.0f})",
            f"{gomail / one.rate:.2f}",
            f"{one.p50_ms:.1f}",
            f"{one.p99_ms:.1f}",
            f"{one.cpu_seconds:.2f}",
            f"{one.memory_bytes / 1024 / 1024:.0f}",
            f"{one.bad:.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
