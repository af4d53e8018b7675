"""Counts how many functions an operation calls, by part; part of bench_cpu.py."""

import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from cpu_operations import Operation
from subject import Subject

WARM_UP, COUNTED = 200, 1000
WRITE_SECONDS = 10
KINDS = ("call", "c_call")

Calls = Mapping[str, Mapping[str, float]]


def calls(operation: Operation) -> Calls:
    """Return how often each part is called in one operation."""
    with counted(operation) as running:
        operation.carry_out(running, WARM_UP + COUNTED)
        file = running.directory / "calls.json"
        until = time.monotonic() + WRITE_SECONDS  # it is written after the last answer
        while not file.exists():
            if time.monotonic() > until:
                raise SystemExit(f"{operation.name} has counted nothing")
            time.sleep(0.01)
        found: dict[str, dict[str, float]] = defaultdict(lambda: dict.fromkeys(KINDS, 0.0))
        for part, kind, number in json.loads(file.read_text(encoding="utf-8")):
            found[part][kind] = number
        return found


def counted(operation: Operation) -> Subject:
    """Return the server of an operation, not started, that counts its calls."""
    subject = operation.subject
    command = list(subject.command)
    environment = {
        "COUNTED_FROM": str(WARM_UP),
        "COUNTED_UNTIL": str(WARM_UP + COUNTED),
        "COUNTED_FILE": "{BENCHMARK_DIRECTORY}/calls.json",
    }
    if "--config" in command:
        at = command.index("--config") + 1
        environment["COUNTED_CONFIG"] = command[at]
        command[at] = str(operation.hooks)
    else:
        command[-1:-1] = ["--config", str(operation.hooks)]
    return replace(subject, command=command, environment=subject.environment | environment)


def table(found: Mapping[str, Calls]) -> str:
    """Return a table with a column for each operation, and a row for each part."""
    parts = dict.fromkeys(part for each in found.values() for part in each)
    weights = {part: sum(sum(each[part].values()) for each in found.values()) for part in parts}
    rows = sorted((part for part in parts if weights[part] >= 1), key=lambda part: -weights[part])
    lines = [
        row("part", list(found)),
        "|---" * (len(found) + 1) + "|\n",
        *(row(part, [shown(each[part]) for each in found.values()]) for part in rows),
        row("all", [shown(total(each)) for each in found.values()]),
    ]
    return "".join(lines)


def row(name: str, cells: Sequence[str]) -> str:
    return f"| {' | '.join([name, *cells])} |\n"


def total(found: Calls) -> Mapping[str, float]:
    return {kind: sum(each[kind] for each in found.values()) for kind in KINDS}


def shown(calls: Mapping[str, float]) -> str:
    return " + ".join(f"{calls[kind]:.0f}" for kind in KINDS)
