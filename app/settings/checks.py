"""Checks the values of a configuration: schema, form, and rules between keys."""

import json
from collections.abc import Callable, Iterable, Mapping, Set
from functools import cache
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from app.settings.document import shown_key
from app.settings.endpoint_rules import endpoint_faults
from app.settings.fault import Fault
from app.settings.formats import CHECKER
from app.settings.masking import flat, may_be_quoted
from app.settings.names import nearest
from app.settings.rules import faults_between_keys
from app.settings.schema import Property, allowed, is_object_list, members, properties, required
from app.settings.storage_rules import storage_faults

_KINDS = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    type(None): "empty",
}
_WANTED = {
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
}


def errors(values: Mapping[str, Any], others: Iterable[Fault] = ()) -> list[Fault]:
    """Return every fault in `values`, and `others`, in the order of the schema."""
    plain = {key: known for key, known in properties().items() if not is_object_list(known)}
    found = _faults_of_values("", plain, {key: values[key] for key in plain})
    for key in properties().keys() - plain.keys():
        found += _faults_of_list(key, values[key])
    found += others
    found += faults_between_keys(values, faulty={fault.key for fault in found})
    found += endpoint_faults(values, faulty={fault.key for fault in found})
    found += storage_faults(values, faulty={fault.key for fault in found})
    return sorted(found, key=_place)


def _place(fault: Fault) -> tuple[int, int]:
    index = fault.key.partition("[")[2].partition("]")[0]
    return list(properties()).index(fault.setting), int(index or 0)


def _faults_of_list(key: str, value: object) -> list[Fault]:
    if not isinstance(value, list):
        return [_fault(key, f"is {_kind(value)}, not a list", properties()[key])]
    found = []
    for index, item in enumerate(value):
        found += _faults_of_item(f"{key}[{index}]", item, members(key), required(key))
    return found


def _faults_of_item(
    place: str, item: object, known: Mapping[str, Property], needed: Set[str]
) -> list[Fault]:
    if not isinstance(item, dict):
        return [Fault(place, f"is {_kind(item)}, not a mapping (allowed: {', '.join(known)})")]
    found = [Fault(place, "a key is not text") for name in item if not isinstance(name, str)]
    found += [
        Fault(f"{place}.{shown_key(name)}", _unknown(name, known))
        for name in item
        if isinstance(name, str) and name not in known
    ]
    found += [
        _fault(f"{place}.{name}", "is missing", known[name])
        for name in known
        if name in needed and item.get(name) is None
    ]
    given = {name: value for name, value in item.items() if name in known}
    return found + _faults_of_values(f"{place}.", known, given)


def _unknown(name: str, known: Mapping[str, Property]) -> str:
    near = nearest(name, known)
    return f"is unknown (nearest: {near})" if near else f"is unknown (allowed: {', '.join(known)})"


def _faults_of_values(
    prefix: str, known: Mapping[str, Property], values: Mapping[str, Any]
) -> list[Fault]:
    # A nested or huge value would be copied into jsonschema's own messages.
    found = [
        _fault(f"{prefix}{key}", "is a value of the wrong kind", known[key])
        for key, value in values.items()
        if not flat(value)
    ]
    given = {key: value for key, value in values.items() if value is not None and flat(value)}
    errors = _validator().evolve(schema={"properties": known}).iter_errors(given)
    return found + [_describe(error, prefix, known) for error in errors]


@cache
def _validator() -> Validator:
    # JSON Schema counts 3000.0 as an integer, Python doesn't.
    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole_number)
    kind = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator, type_checker=types
    )
    validator: Validator = kind({}, format_checker=CHECKER)
    return validator


def _is_whole_number(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _describe(error: ValidationError, prefix: str, known: Mapping[str, Property]) -> Fault:
    name, *position = error.absolute_path
    key, place = f"{prefix}{name}", ""
    if position and prefix:  # a path counts from 0, as programs do
        key += f"[{position[0]}]"
    elif position:
        place = f"item {int(position[0]) + 1}: "
    quoted = may_be_quoted(known[str(name)], error.instance)
    shown = f"{_shown(error.instance)} " if quoted else ""
    problem = f"{place}{shown}{_PROBLEMS[str(error.validator)](error)}"
    return _fault(key, problem, known[str(name)], whole_list=error.validator_value == "array")


def _fault(key: str, problem: str, known: Property, *, whole_list: bool = False) -> Fault:
    limits = allowed(known)
    if whole_list:
        limits = f"a list, each item {limits}"
    return Fault(key, f"{problem} (allowed: {limits})" if limits else problem)


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "a mapping")


def _wrong_type(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    names = " or ".join(_WANTED[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
    return f"is {_kind(error.instance)}, not {names}"


_PROBLEMS: Mapping[str, Callable[[ValidationError], str]] = {
    "type": _wrong_type,
    "minimum": lambda _: "is below the minimum",
    "maximum": lambda _: "is above the maximum",
    "enum": lambda _: "is not one of the values",
    "minLength": lambda error: f"is shorter than {error.validator_value} characters",
    "maxLength": lambda error: f"is longer than {error.validator_value} characters",
    "minItems": lambda _: "is an empty list",
    "maxItems": lambda error: f"has more than {error.validator_value} items",
    "format": lambda error: str(error.cause),
}


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"
