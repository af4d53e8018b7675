"""How fast durable mail is, beside what isn't durable: `python benchmarks/bench_delivery.py`.

A is the floor, a Flask view that reads the body and answers. B makes each message durable in the
usual way. C is GoMail with everything on. All three have the same number of workers and threads,
run on the same machine in the same minutes, and take turns; each figure is a median.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count

from subject import HERE, TOKEN, Subject, subjects

SIZES = {"4 KiB": 4 * 1024, "64 KiB": 64 * 1024, "5 MiB": 5 * 1024 * 1024}
CONNECTIONS = (1, 16, 64)
ROUNDS = 5
SECONDS = 4
_RUNS = count()


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
    """Print a table for each size and number of connections."""
    options = arguments()
    wrk = shutil.which("wrk") or sys.exit("wrk isn't installed")
    for size in options.sizes:
        for connections in options.connections:
            print_table(size, connections, measure(wrk, size, connections, options))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--connections", nargs="+", type=int, default=list(CONNECTIONS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--seconds", type=int, default=SECONDS)
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


def print_table(size: str, connections: int, found: dict[str, list[Figures]]) -> None:
    """Print the medians, the spread of the rates, and the ratios to C."""
    medians = {name: median(rounds) for name, rounds in found.items()}
    gomail = medians["C GoMail"].rate
    print(f"\n{size}, {connections} connections")
    print(
        f"  {'':10}{'requests/s':>11}{'(from to)':>16}{'C is':>7}{'p50 ms':>8}{'p99 ms':>8}", end=""
    )
    print(f"{'CPU s/1000':>12}{'MiB':>6}{'bad':>5}")
    for name, one in medians.items():
        rates = [each.rate for each in found[name]]
        spread = f"({min(rates):.0f} {max(rates):.0f})"
        print(f"  {name:10}{one.rate:11.0f}{spread:>16}{gomail / one.rate:7.2f}", end="")
        print(f"{one.p50_ms:8.1f}{one.p99_ms:8.1f}{one.cpu_seconds:12.2f}", end="")
        print(f"{one.memory_bytes / 1024 / 1024:6.0f}{one.bad:5.0f}", flush=True)


if __name__ == "__main__":
    main()
