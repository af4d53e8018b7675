"""Reads YAML with the types that settings use."""

import re
from collections.abc import Iterator
from typing import ClassVar

import yaml

from app.settings.counted_keys import CountedKeys
from app.settings.fault import UnreadableDocument

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

    def construct_counted_map(self, node: yaml.MappingNode) -> Iterator[CountedKeys]:
        """Yield the mapping before it is filled, since it may contain itself."""
        made = CountedKeys()
        yield made
        made.update(self.construct_mapping(node))
        made.note(key.value for key, _ in node.value)


_Loader.add_constructor(f"{_PREFIX}int", _Loader.construct_whole_number)
_Loader.add_constructor(f"{_PREFIX}map", _Loader.construct_counted_map)


def parse_yaml(text: str) -> object:
    """Return the value in `text`; its mappings are CountedKeys. Raises UnreadableDocument."""
    try:
        loaded: object = yaml.load(text, _Loader)  # noqa: S506 - of the safe one
    except yaml.YAMLError as error:
        raise UnreadableDocument(_yaml_problem(error)) from error
    # PyYAML lets conversion errors through, such as those for `!!int 0x_` or `!!bool perhaps`.
    except (ValueError, KeyError, ArithmeticError, RecursionError) as error:
        raise UnreadableDocument("contains a value that can't be read as YAML") from error
    return loaded


def _yaml_problem(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None)
    place = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
    # Text in quotation marks may be a secret.
    reason = f": {problem}" if problem and "'" not in problem else ""
    return f"is not valid YAML{place}{reason}"
