"""Reads the text of a configuration file, YAML or JSON, into a mapping."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from app.settings.counted_keys import CountedKeys
from app.settings.fault import Fault, UnreadableDocument
from app.settings.webhook_secret import holds_secret


def parse(text: str, *, json_only: bool) -> tuple[Mapping[str, Any], list[Fault]]:
    """Return the mapping in `text` and a fault for each key that is repeated or not text.

    Raises UnreadableDocument.
    """
    value = parse_json(text) if json_only else _parse_yaml(text)
    if value is None:
        return {}, []
    if not isinstance(value, CountedKeys):
        raise UnreadableDocument("is not a mapping of keys to values")
    named = {key: value for key, value in value.items() if isinstance(key, str)}
    faults = list(_repeated("", value))
    faults += [fault for key, inner in named.items() for fault in repeated_members(key, inner)]
    if len(named) < len(value):
        faults.append(Fault("config", "a key is not text"))
    return named, faults


def parse_json(text: str) -> object:
    """Return the value in `text`, None if `text` is empty; raises UnreadableDocument."""
    try:
        return json.loads(text, object_pairs_hook=_counted) if text.strip() else None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise UnreadableDocument(f"is not valid JSON at {place}: {error.msg}") from error
    except (ValueError, RecursionError) as error:
        raise UnreadableDocument("contains a value that can't be read") from error


def repeated_members(key: str, value: object) -> Iterator[Fault]:
    """Yield a fault for each repeated member of the mappings in the list `value`."""
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, CountedKeys):
            yield from _repeated(f"{shown_key(key)}[{index}].", item)


def shown_key(key: str) -> str:
    """Return what is safe to show of a key, which can be anything when a colon was forgotten."""
    shown = None if holds_secret(key) else re.match(r"[\w.-]{0,60}", key, re.ASCII)
    start = shown[0] if shown else ""
    return start if start == key else f"{start}…"


def _repeated(prefix: str, value: CountedKeys) -> Iterator[Fault]:
    for key, count in value.repeated.items():
        yield Fault(f"{prefix}{shown_key(key)}", f"is given {count} times")


def _counted(pairs: list[tuple[str, Any]]) -> CountedKeys:
    made = CountedKeys(pairs)
    made.note(key for key, _ in pairs)
    return made


def _parse_yaml(text: str) -> object:
    from app.settings.yaml_document import parse_yaml  # noqa: PLC0415 -- PyYAML takes 10 ms

    return parse_yaml(text)
