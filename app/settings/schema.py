"""The JSON Schema: the one source of every key's type, range, default and description."""

import json
import os
import sys
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any

_CHECKOUT = Path(__file__).parents[2]
_INSTALLED = Path(sys.prefix) / "share" / "gomail"
_SCHEMA = Path("config") / "gomail.schema.json"

SHARE = _CHECKOUT if (_CHECKOUT / _SCHEMA).is_file() else _INSTALLED
"""The directory that holds gunicorn.conf.py and config/: the checkout, or where a wheel puts it."""

Property = Mapping[str, Any]


def schema_text() -> str:
    """Return the text of the schema."""
    return (SHARE / _SCHEMA).read_text(encoding="utf-8")


@cache
def schema() -> Property:
    """Return the whole schema."""
    loaded: Property = json.loads(schema_text())
    return loaded


def properties() -> Mapping[str, Property]:
    """Return the schema of each key, in the order of the file."""
    known: Mapping[str, Property] = schema()["properties"]
    return known


def is_object_list(known: Property) -> bool:
    """Return whether a key is a list of mappings, as endpoints is."""
    return bool(known.get("items", {}).get("type") == "object")


def members(key: str) -> Mapping[str, Property]:
    """Return the schema of each member of the mappings in the list `key`."""
    known: Mapping[str, Property] = properties()[key]["items"]["properties"]
    return known


def required(key: str) -> Set[str]:
    """Return the members that each mapping in the list `key` must have."""
    return frozenset(properties()[key]["items"]["required"])


def has_flag(key: str) -> bool:
    """Return whether `key` can be set on the command line, which has no room for mappings."""
    return not is_object_list(properties()[key])


def is_secret(key: str) -> bool:
    """Return whether the value of `key` must never be shown."""
    return bool(properties()[key].get("writeOnly"))


def is_size(known: Property) -> bool:
    """Return whether a key is a number of bytes, so that a size such as 25MiB is understood."""
    return known.get("x-unit") == "bytes"


def defaults() -> dict[str, Any]:
    """Return the default of each key, None for a key without one."""
    constants = {key: known.get("default") for key, known in properties().items()}
    return constants | {"workers": max(2, len(os.sched_getaffinity(0)))}


def variable(key: str) -> str:
    """Return the name of the environment variable that sets `key`."""
    return f"MAIL_{key.upper()}"


def flag(key: str) -> str:
    """Return the command-line flag that sets `key`."""
    return "--token" if key == "bearer_token" else f"--{key.replace('_', '-')}"


def allowed(known: Property) -> str:
    """Describe the values that a key accepts; empty when its type says it all."""
    if "enum" in known:
        return ", ".join(known["enum"])
    if "minimum" in known:
        limits = f"{known['minimum']} to {known['maximum']}"
        return f"{limits}, or a size such as 25MB or 25MiB" if is_size(known) else limits
    return str(known.get("x-allowed", ""))
