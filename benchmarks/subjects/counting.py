"""A Gunicorn configuration that counts the calls of each request; see bench_cpu.py.

It adds itself to the configuration that COUNTED_CONFIG names, if any. Of the requests from
COUNTED_FROM on and before COUNTED_UNTIL, a file COUNTED_FILE gets how often each part of the
program was called, as JSON.
"""

import json
import os
import runpy
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType

PARTS = (
    ("app.server.gunicorn_internals", "Gunicorn"),
    ("gunicorn", "Gunicorn"),
    ("flask", "Flask, Werkzeug"),
    ("werkzeug", "Flask, Werkzeug"),
    ("app.logs", "log line"),
    ("app.web.hooks", "hooks"),
    ("app.server", "hooks"),
    ("app.ratelimit", "hooks"),
    ("app.metrics", "hooks"),
    ("app.state", "hooks"),
    ("app.storage", "store"),
    ("app.intake", "receive"),
    ("app", "view"),
    ("floor", "view"),
)
OTHER = "other"
FROM, UNTIL = int(os.environ["COUNTED_FROM"]), int(os.environ["COUNTED_UNTIL"])

counts: Counter[tuple[str, str]] = Counter()
_known: dict[object, str | None] = {}
_requests = 0
_found = runpy.run_path(os.environ["COUNTED_CONFIG"]) if "COUNTED_CONFIG" in os.environ else {}
globals().update({name: value for name, value in _found.items() if not name.startswith("_")})


def part_of(frame: FrameType | None) -> str:
    """Return the part that a frame belongs to: that of the nearest caller which has one."""
    while frame is not None:
        code = frame.f_code
        if code not in _known:
            module = f"{frame.f_globals.get('__name__', '')}."
            names = (part for name, part in PARTS if module.startswith(f"{name}."))
            _known[code] = next(names, None)
        part = _known[code]
        if part is not None:
            return part
        frame = frame.f_back
    return OTHER


def count(frame: FrameType, event: str, _argument: object) -> None:
    """Count a call of a function in Python ("call") or in C ("c_call")."""
    if event in {"call", "c_call"}:
        counts[part_of(frame), event] += 1


def post_fork(server: object, worker: object) -> None:
    """Begin to count, in all threads, before the worker starts one."""
    if "post_fork" in _found:
        _found["post_fork"](server, worker)
    threading.setprofile(count)
    sys.setprofile(count)


def post_request(worker: object, request: object, environ: object, response: object) -> None:
    """Begin anew after the requests that fill caches, and write the figures after the last one."""
    global _requests  # noqa: PLW0603 -- Gunicorn's hooks are functions
    if "post_request" in _found:
        _found["post_request"](worker, request, environ, response)
    _requests += 1
    if _requests == FROM:
        counts.clear()
    elif _requests == UNTIL:
        found = [[part, event, number] for (part, event), number in counts.copy().items()]
        file = Path(os.environ["COUNTED_FILE"])
        file.with_suffix(".new").write_text(json.dumps(found), encoding="utf-8")
        file.with_suffix(".new").rename(file)
