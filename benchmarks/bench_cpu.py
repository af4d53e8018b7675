"""How much work a request and a delivery are: `python benchmarks/bench_cpu.py`.

Counts the calls of functions, since two runs then agree whatever else the machine does; and
measures the CPU time. A is the floor, a Flask view that reads the body and answers; C is GoMail
with everything on.
"""

import argparse
import re
import statistics
import sys
from collections.abc import Iterable

from counted_calls import calls, table
from cpu_operations import Operation, incoming, outgoing
from subject import CHECKOUT, process_cpu_seconds

ROUNDS, A_ROUND = 5, 1000
ALLOWED_RISE = 1.03
PAGE = CHECKOUT / "docs" / "benchmarks.md"
OWN = r"^## (?:Calls|CPU time)[^\n]*\n"
SECTIONS = re.compile(rf"(?:{OWN}.*?(?=^## ))+", re.MULTILINE | re.DOTALL)
TOTALS = re.compile(r"^\| all \|.*", re.MULTILINE)
INCOMING = """\
## Calls a request

How many functions a request of 4 KiB calls, Python + C, by part; the same in every run on one
version of Python. `make bench-cpu` shows it.

"""
OUTGOING = """
## Calls of reads and deliveries

The same for reading a message of 4 KiB, for a page of 50 such messages, and for a delivery, of
which one is under way at a time, to an endpoint that answers at once.

"""
TIMES = f"""
## CPU time

Of the process that does it, user and system, for one at a time: the median of {ROUNDS} rounds of
{A_ROUND} and, in parentheses, the smallest and the largest. Unlike the calls, it depends on the
machine.

| | CPU ms |
|---|---|
"""


def main() -> int:
    """Print the figures; with --check, return 1 if there are more calls than the page says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"compare calls with {PAGE.name}")
    parser.add_argument("--write", action="store_true", help=f"write all to {PAGE.name}")
    options = parser.parse_args()
    found = calls_section() if options.check else sections()
    print(found)
    page = PAGE.read_text(encoding="utf-8")
    if options.write:
        PAGE.write_text(SECTIONS.sub(lambda _: f"{found}\n", page), encoding="utf-8")
    return is_more(found, page) if options.check else 0


def sections() -> str:
    """Return the sections of docs/benchmarks.md about calls and CPU time, measured now."""
    return calls_section() + times_section()


def calls_section() -> str:
    """Return the sections about calls."""
    with outgoing() as others:
        return INCOMING + calls_table(incoming()) + OUTGOING + calls_table(others)


def calls_table(operations: Iterable[Operation]) -> str:
    return table({each.name: calls(each) for each in operations})


def times_section() -> str:
    """Return the section about CPU time."""
    with outgoing() as others:
        names = [f"`POST /mail/inbound`, {each.name}" for each in incoming()]
        names += [each.name for each in others]
        rows = [milliseconds(each) for each in (*incoming(), *others)]
    return TIMES + "".join(
        f"| {name} | {statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f}) |\n"
        for name, each in zip(names, rows, strict=True)
    )


def milliseconds(operation: Operation) -> list[float]:
    """Return the CPU time of one operation, in each round."""
    with operation.subject as running:
        operation.carry_out(running, A_ROUND)
        pid, found = operation.process(running), []
        for _ in range(ROUNDS):
            before = process_cpu_seconds(pid)
            number = operation.carry_out(running, A_ROUND)
            found.append((process_cpu_seconds(pid) - before) / number * 1000)
        return found


def is_more(found: str, page: str) -> int:
    """Return 1, and say so, if anything makes more calls in Python than `page` says."""
    known, now = python_calls(page), python_calls(found)
    if len(known) != len(now):
        raise SystemExit(f"{PAGE.name} doesn't say how many calls each of them makes")
    for before, after in zip(known, now, strict=True):
        if after > before * ALLOWED_RISE:
            print(f"{after} is more than 3 % over the {before} of {PAGE.name}", file=sys.stderr)
            return 1
    return 0


def python_calls(text: str) -> list[int]:
    """Return how many calls in Python each operation makes."""
    return [int(number) for row in TOTALS.findall(text) for number in re.findall(r"(\d+) \+", row)]


if __name__ == "__main__":
    sys.exit(main())
