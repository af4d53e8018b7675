"""Reads the text of a configuration file, YAML or JSON, into a mapping."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from app.settings.fault import Fault, UnreadableDocument


def parse(text: str, *, json_only: bool) -> tuple[Mapping[str, Any], list[Fault]]:
    """Return the mapping in `text` and a fault for each key that is repeated or not text.

    Raises UnreadableDocument.
    """
    value, keys = _parse_json(text) if json_only else _parse_yaml(text)
    if value is None:
        return {}, []
    if not isinstance(value, Mapping):
        raise UnreadableDocument("is not a mapping of keys to values")
    repeated = {key: keys.count(key) for key in keys if keys.count(key) > 1}
    faults = [Fault(shown_key(key), f"is given {n} times") for key, n in repeated.items()]
    named = {key: value for key, value in value.items() if isinstance(key, str)}
    if len(named) < len(value):
        faults.append(Fault("config", "a key is not text"))
    return named, faults


def shown_key(key: str) -> str:
    """Return what is safe to show of a key, which can be anything when a colon was forgotten."""
    shown = re.match(r"[\w.-]{0,60}", key, re.ASCII)
    start = shown[0] if shown else ""
    return start if start == key else f"{start}…"


def _parse_yaml(text: str) -> tuple[object, Sequence[str]]:
    from app.settings.yaml_document import parse_yaml  # noqa: PLC0415 -- PyYAML takes 10 ms

    return parse_yaml(text)


def _parse_json(text: str) -> tuple[object, Sequence[str]]:
    keys: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        # The outermost object is finished last, so its keys are the ones that remain.
        keys[:] = [key for key, _ in pairs]
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=collect) if text.strip() else None, keys
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UnreadableDocument(f"is not valid JSON at {place}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableDocument("contains a value that can't be read") from error
