"""Counts the calls of the program it runs in, by part; see counted_calls.py.

From the COUNTED_FROM-th to the COUNTED_UNTIL-th thing that the process has done, a request for
example, and then writes to the file COUNTED_FILE, as JSON, how often each part was called for one
of them.
"""

import json
import os
import runpy
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

OTHER = "other"
FROM, UNTIL = int(os.environ["COUNTED_FROM"]), int(os.environ["COUNTED_UNTIL"])

Key = tuple[str, str]


class Counting:
    """Counts in all threads that are started after `begin`, and in the one that calls it."""

    def __init__(
        self, parts: Sequence[tuple[str, str]], average: Callable[[Iterable[float]], float]
    ) -> None:
        """`parts` are the names of modules and packages, each with its part; the first counts.

        `average` makes one number of those of a part: the median, if only few of them have what is
        done by the clock, or takes longer on a busy machine; the mean, if some do work for others.
        """
        self._average = average
        self._parts = parts
        self._counts: Counter[Key] = Counter()
        self._each: list[Counter[Key]] = []
        self._known: dict[object, str | None] = {}
        self._done = 0

    def begin(self) -> None:
        """Begin to count."""
        threading.setprofile(self._count)
        sys.setprofile(self._count)

    def note_one(self) -> None:
        """Begin anew after those that fill caches, and write the figures after the last one."""
        self._done += 1
        counted, self._counts = self._counts, Counter()
        if self._done > FROM:
            self._each.append(counted)
        if self._done == UNTIL:
            keys = set().union(*self._each)
            found = [[*key, self._average([each[key] for each in self._each])] for key in keys]
            file = Path(os.environ["COUNTED_FILE"])
            file.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
            file.with_suffix(".new").rename(file)

    def _count(self, frame: FrameType, event: str, _argument: object) -> None:
        """Count a call of a function in Python ("call") or in C ("c_call")."""
        if event in {"call", "c_call"}:
            self._counts[self._part_of(frame), event] += 1

    def _part_of(self, frame: FrameType | None) -> str:
        """Return the part that a frame belongs to: that of the nearest caller which has one."""
        while frame is not None:
            code = frame.f_code
            if code not in self._known:
                module = f"{frame.f_globals.get('__name__', '')}."
                names = (part for name, part in self._parts if module.startswith(f"{name}."))
                self._known[code] = next(names, None)
            part = self._known[code]
            if part is not None:
                return part
            frame = frame.f_back
        return OTHER


def counted_configuration() -> Mapping[str, Any]:
    """Return the names in the Gunicorn configuration that COUNTED_CONFIG names, if any."""
    file = os.environ.get("COUNTED_CONFIG")
    found = runpy.run_path(file) if file else {}
    return {name: value for name, value in found.items() if not name.startswith("_")}
