"""Reads the text of a configuration file, YAML or JSON, into a mapping."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import yaml

from app.settings.fault import Fault

_PREFIX = "tag:yaml.org,2002:"
# The core schema of YAML 1.2 (section 10.3.2), without numbers that have leading zeros: 03110 may
# be decimal, octal or a postcode.
_TYPES = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?(?:0|[1-9][0-9]*)|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(?:\.[0-9]+|(?:0|[1-9][0-9]*)(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
}
_TAGS = {f"{_PREFIX}{name}" for name in (*_TYPES, "str", "seq", "map")}


class _Loader(yaml.SafeLoader):
    """YAML 1.2 with only the types that settings use: no timestamps, sets or merges."""

    yaml_constructors: ClassVar = {
        tag: construct
        for tag, construct in yaml.SafeLoader.yaml_constructors.items()
        if tag is None or tag in _TAGS
    }
    yaml_implicit_resolvers = {  # noqa: RUF012 - declared by the base class
        None: [
            (f"{_PREFIX}{name}", re.compile(rf"(?:{pattern})\Z"))
            for name, pattern in _TYPES.items()
        ]
    }

    def construct_whole_number(self, node: yaml.ScalarNode) -> int:
        """Return the number, which is decimal without a prefix."""
        return int(self.construct_scalar(node), 0)


_Loader.add_constructor(f"{_PREFIX}int", _Loader.construct_whole_number)


class UnreadableDocument(Exception):
    """The text is not a configuration; the message never quotes from it."""


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
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, ()
        value = loader.construct_document(node)
    except yaml.YAMLError as error:
        raise UnreadableDocument(_yaml_problem(error)) from error
    # PyYAML lets conversion errors through, such as those for `!!int 0x_` or `!!bool perhaps`.
    except (ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise UnreadableDocument("contains a value that can't be read as YAML") from error
    keys = [key.value for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    return value, keys


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    # Text in quotation marks may be a secret.
    reason = f": {problem}" if problem and "'" not in problem else ""
    return f"is not valid YAML{place}{reason}"


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
