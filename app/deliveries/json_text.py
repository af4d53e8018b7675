"""Encodes JSON in UTF-8, and computes the size of values."""

import json
import re
from typing import Any

_SURROGATE = re.compile(r"[\ud800-\udfff]")
# An escape that is cut off, after an even number of backslashes, which are escaped themselves.
_PARTIAL_ESCAPE = re.compile(r"(?<!\\)((?:\\\\)*)\\(?:u[0-9a-f]{0,3})?\Z")


def to_json(value: Any) -> bytes:
    """Return `value` as JSON; a lone surrogate becomes U+FFFD."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError:
        return _SURROGATE.sub("\ufffd", text).encode()


def json_size(value: Any) -> int:
    """Return the size of `value` as JSON in bytes."""
    return len(to_json(value))


def shortened(text: str, excess: int) -> str:
    """Return the beginning of `text`, at least `excess` bytes shorter as JSON; perhaps empty."""
    whole = to_json(text)[1:-1]
    kept = whole[: max(len(whole) - excess, 0)].decode("utf-8", "ignore")
    beginning: str = json.loads('"' + _PARTIAL_ESCAPE.sub(r"\1", kept) + '"')
    return beginning
