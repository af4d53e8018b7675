"""How often a test repeats itself."""

import os
from typing import TypeVar

Value = TypeVar("Value")


def rounds(many: Value, few: Value) -> Value:
    """Return `many` with GOMAIL_ALL_ROUNDS=1, as in CI, else `few`: `make test` has to be short."""
    return many if os.environ.get("GOMAIL_ALL_ROUNDS") == "1" else few
