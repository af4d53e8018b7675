"""Warns about values that are allowed but unwise."""

import stat
from collections.abc import Container, Iterator, Mapping
from pathlib import Path
from typing import Any

from app.settings.endpoint_advice import endpoint_warnings
from app.settings.fault import Fault
from app.settings.rules import tokens_in
from app.settings.schema import is_secret, properties
from app.settings.storage_advice import storage_warnings

GOOD_TOKEN_LENGTH = 32
_QUOTES = frozenset("\"'")


def warnings(
    values: Mapping[str, Any], file: Path | None, file_keys: Container[str]
) -> list[Fault]:
    """Return a warning for each value that is allowed but unwise."""
    found = [
        Fault(key, f"{place}{problem}")
        for key, known in properties().items()
        if known.get("format") == "gomail-token"
        for place, token in tokens_in(values[key])
        if len(token) >= known["minLength"]
        for problem in _unwise(token)
    ]
    found += endpoint_warnings(values)
    found += storage_warnings(values)
    secrets = [key for key in properties() if key in file_keys and is_secret(key)]
    if file is not None and secrets:
        found += _file_warnings(file, secrets[0])
    return found


def _unwise(token: str) -> Iterator[str]:
    if len(token) < GOOD_TOKEN_LENGTH:
        yield f"is shorter than {GOOD_TOKEN_LENGTH} characters"
    # Docker's --env-file keeps quotation marks, which a shell would remove.
    if token[0] in _QUOTES or token[-1] in _QUOTES:
        yield "begins or ends with a quotation mark, which counts as part of the token"


def _file_warnings(file: Path, key: str) -> list[Fault]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:  # it has gone since it was read, and a reload must not fail for that
        return []
    readable = f"every user can read {file} (mode {mode:04o}), make it 0640"
    return [Fault(key, readable)] if mode & stat.S_IROTH else []
