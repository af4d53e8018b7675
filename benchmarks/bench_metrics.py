"""What counting costs a request: `python benchmarks/bench_metrics.py`; fails at 3 % and above.

All figures are CPU time: waiting for the disk or for other programs has no part in them.
"""

import statistics
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from metrics_operations import added_by_default_hooks, recorder_operations
from metrics_requests import Pair, in_memory, on_disk
from whole_requests import Round, whole_requests

ALLOWED_PER_CENT = 3.0


def main() -> int:
    """Print all figures; return 1 when counting costs too much."""
    operations = report_operations()
    report_default_hooks()
    added, added_on_disk = report_added(operations["commit"])
    whole = report_whole()
    per_cent = 100 * added / whole
    is_within = per_cent < ALLOWED_PER_CENT
    verdict = "within" if is_within else "NOT WITHIN"
    print(f"\nCounting is {added:.1f} of {whole:.0f} us, {per_cent:.2f} % of a request:")
    print(f"{verdict} the {ALLOWED_PER_CENT:.0f} % that it may cost")
    print(
        f"(with the difference on disk, whose noise is larger: {100 * added_on_disk / whole:.2f} %)"
    )
    return 0 if is_within else 1


def report_operations() -> dict[str, float]:
    """Print what each call costs; return it for the files of slots, as in production."""
    slots = alone(recorder_operations, False)
    library = alone(recorder_operations, True)
    print(f"{'us a call':36}{'here':>8}{'library':>10}")
    for name, cost in slots.items():
        print(f"  Recorder.{name:25}{cost:8.2f}{library[name]:10.2f}")
    return dict(slots)


def report_default_hooks() -> None:
    """Print what prometheus-flask-exporter would cost if it did the counting."""
    bare, added = alone(added_by_default_hooks)
    print("\nprometheus-flask-exporter's default hooks, us a request")
    print(f"  bare Flask{bare:32.1f}")
    print(f"  added{added:37.1f}")


def report_added(commit: float) -> tuple[float, float]:
    """Print the difference that counting makes inside of one process.

    Returns it by the store in memory and a commit, and by the store on disk.
    """
    print("\nadded to the application, us a request")
    memory = report_pairs("nothing stored on disk", alone(in_memory))
    disk = report_pairs("SQL store, commit included", alone(on_disk))
    # The verdict isn't on the second line: what a sync costs the processor, and what it leaves of
    # the caches, varies by more than the counting.
    added = memory + commit
    print(f"  first line and commit{added:21.1f}")
    return added, disk


def report_pairs(title: str, pairs: Sequence[Pair]) -> float:
    """Print the median difference of `pairs` and its spread; return the median."""
    differences = [pair.added for pair in pairs]
    low, middle, high = statistics.quantiles(differences, n=4)
    bare = statistics.median(pair.bare for pair in pairs)
    print(f"  {title:30}{middle:12.1f}  ({low:.1f} to {high:.1f} in half of the rounds;", end=" ")
    print(f"without: {bare:.0f})")
    return middle


def report_whole() -> float:
    """Print what a whole request costs the workers of a real server, and return it."""
    rounds: list[Round] = whole_requests()
    on = [each.counted for each in rounds]
    off = [each.bare for each in rounds]
    difference = statistics.median(each.counted - each.bare for each in rounds)
    print("\nthe workers under Gunicorn, us a request")
    for title, costs in (("metrics on", on), ("metrics off", off)):
        middle = statistics.median(costs)
        print(f"  {title:30}{middle:12.0f}  ({min(costs):.0f} to {max(costs):.0f})")
    print(f"  {'difference':30}{difference:12.0f}  (hidden by the spread when that is larger)")
    return statistics.median(on)


def alone(measure: Callable[..., Any], *arguments: object) -> Any:
    """Return the result of `measure` from a new process: where metrics live is global there."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


if __name__ == "__main__":
    sys.exit(main())
