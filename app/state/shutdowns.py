"""How often the server was shut down and how long it took, kept across restarts."""

import json
from pathlib import Path
from typing import Any, Literal

from app.state.small_files import locked_directory, write_whole

Kind = Literal["graceful", "forced"]

BUCKET_SECONDS = (0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

Shutdowns = dict[str, dict[str, Any]]
"""For each kind `count`, `seconds` in all, and `buckets`, the counts up to each bound."""


def shutdowns_file(data_dir: Path) -> Path:
    """Return the path of the file."""
    return data_dir / "shutdowns.json"


def read_shutdowns(data_dir: Path, otherwise: Shutdowns | None = None) -> Shutdowns:
    """Return the recorded shutdowns; if they can't be read, `otherwise`, or else none."""
    try:
        kept = json.loads(shutdowns_file(data_dir).read_text(encoding="utf-8"))
        return {kind: _checked(kept[kind]) for kind in ("graceful", "forced")}
    except (OSError, ValueError, TypeError, LookupError, OverflowError, RecursionError):
        if otherwise is not None:
            return otherwise
        empty = {"count": 0, "seconds": 0.0, "buckets": [0] * len(BUCKET_SECONDS)}
        return {"graceful": empty, "forced": empty}


def _checked(one: dict[str, Any]) -> dict[str, Any]:
    counts = zip(one["buckets"], BUCKET_SECONDS, strict=True)
    return {
        "count": int(one["count"]),
        "seconds": float(one["seconds"]),
        "buckets": [int(count) for count, _ in counts],
    }


def record_shutdown(data_dir: Path, kind: Kind, seconds: float) -> None:
    """Add a shutdown that took `seconds`; atomic and durable. Raises OSError."""
    with locked_directory(data_dir):
        shutdowns = read_shutdowns(data_dir)
        shutdowns[kind] = _with_one_more(shutdowns[kind], seconds)
        write_whole(shutdowns_file(data_dir), json.dumps(shutdowns))


def _with_one_more(one: dict[str, Any], seconds: float) -> dict[str, Any]:
    return {
        "count": one["count"] + 1,
        "seconds": one["seconds"] + seconds,
        "buckets": [
            count + (seconds <= bound)
            for count, bound in zip(one["buckets"], BUCKET_SECONDS, strict=True)
        ],
    }
