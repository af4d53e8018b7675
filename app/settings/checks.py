"""Checks the values of a configuration: schema, rules between keys, and warnings."""

import json
import stat
from collections.abc import Callable, Container, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import ValidationError
from jsonschema.protocols import Validator

from app.settings.fault import Fault
from app.settings.formats import CHECKER
from app.settings.schema import allowed, is_secret, properties, schema

GOOD_TOKEN_LENGTH = 32
_QUOTES = frozenset("\"'")
_LARGEST_NUMBER = 10**18
_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 - recognized, not bound
_KINDS = {bool: "a boolean", int: "a number", float: "a number", str: "text", list: "a list"}
_WANTED = {
    "integer": "a whole number",
    "string": "text",
    "boolean": "true or false",
    "array": "a list",
}


def errors(values: Mapping[str, Any]) -> list[Fault]:
    """Return every fault in `values`, in the order of the schema."""
    # A nested or huge value would be copied into jsonschema's own messages.
    found = [_fault(key, "is a value of the wrong kind") for key in values if not flat(values[key])]
    given = {key: value for key, value in values.items() if value is not None and flat(value)}
    found += [_describe(error) for error in _validator().iter_errors(given)]
    found += _rules_between_keys(values, faulty={fault.key for fault in found})
    order = list(properties())
    return sorted(found, key=lambda fault: order.index(fault.key))


def warnings(
    values: Mapping[str, Any], file: Path | None, file_keys: Container[str]
) -> list[Fault]:
    """Return what is allowed in `values` but unwise."""
    found = [
        Fault(key, f"{place}{problem}")
        for key, known in properties().items()
        if known.get("format") == "gomail-token"
        for place, token in _tokens(values[key])
        if len(token) >= known["minLength"]
        for problem in _unwise(token)
    ]
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


def flat(value: object) -> bool:
    """Return whether `value` is a scalar of ordinary size, or a list of such scalars."""
    return all(map(_is_scalar, value)) if isinstance(value, list) else _is_scalar(value)


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` safe to show: secrets as "***", anything that isn't flat as None."""
    return {key: _masked(key, value) if flat(value) else None for key, value in values.items()}


def _masked(key: str, value: Any) -> Any:
    if not is_secret(key) or value is None:
        return value
    return ["***"] * len(value) if isinstance(value, list) else "***"


def _is_scalar(value: object) -> bool:
    if isinstance(value, int | float):
        return abs(value) <= _LARGEST_NUMBER
    return value is None or isinstance(value, str)


@cache
def _validator() -> Validator:
    # JSON Schema counts 3000.0 as an integer, Python doesn't.
    types = jsonschema.Draft202012Validator.TYPE_CHECKER.redefine("integer", _is_whole_number)
    kind = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
        jsonschema.Draft202012Validator, type_checker=types
    )
    validator: Validator = kind(schema(), format_checker=CHECKER)
    return validator


def _is_whole_number(_: object, value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _describe(error: ValidationError) -> Fault:
    key, *position = error.absolute_path
    place = f"item {position[0] + 1}: " if position and isinstance(position[0], int) else ""
    shown = "" if is_secret(str(key)) else f"{_shown(error.instance)} "
    problem = f"{place}{shown}{_PROBLEMS[str(error.validator)](error)}"
    return _fault(str(key), problem, whole_list=error.validator_value == "array")


def _fault(key: str, problem: str, *, whole_list: bool = False) -> Fault:
    limits = allowed(properties()[key])
    if whole_list:
        limits = f"a list, each item {limits}"
    return Fault(key, f"{problem} (allowed: {limits})" if limits else problem)


def _wrong_type(error: ValidationError) -> str:
    wanted: Any = error.validator_value
    names = " or ".join(_WANTED[name] for name in ([wanted] if isinstance(wanted, str) else wanted))
    return f"is {_KINDS.get(type(error.instance), 'empty')}, not {names}"


_PROBLEMS: Mapping[str, Callable[[ValidationError], str]] = {
    "type": _wrong_type,
    "minimum": lambda _: "is below the minimum",
    "maximum": lambda _: "is above the maximum",
    "enum": lambda _: "is not one of the values",
    "minLength": lambda error: f"is shorter than {error.validator_value} characters",
    "minItems": lambda _: "is an empty list",
    "format": lambda error: str(error.cause),
}


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _rules_between_keys(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    return [
        *_handler_shorter_than_read(values, faulty),
        *_ports_apart(values, faulty),
        *_room_for_a_message(values, faulty),
        *_tokens_of_one_kind(values, faulty),
    ]


def _handler_shorter_than_read(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    keys = ("handler_timeout", "read_timeout")
    if set(keys) & faulty or values["handler_timeout"] < values["read_timeout"]:
        return []
    handler, read = (values[key] for key in keys)
    return [
        Fault("handler_timeout", f"{handler} is not below read_timeout (allowed: below {read})")
    ]


def _ports_apart(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    keys = {"host", "port", "metrics_enabled", "metrics_host", "metrics_port"}
    if keys & faulty or not values["metrics_enabled"]:
        return []
    if values["port"] != values["metrics_port"] or not _overlap(values):
        return []
    taken = f"{values['metrics_port']} is the same as port, on the same host (allowed: another)"
    return [Fault("metrics_port", taken)]


def _room_for_a_message(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    # Most likely a unit was forgotten, and everything would be deleted.
    keys = ("retention_max_bytes", "max_message_size")
    if set(keys) & faulty:
        return []
    most, message = (values[key] for key in keys)
    if most == 0 or most >= message:
        return []
    limits = f"allowed: 0, or at least {message}"
    return [Fault("retention_max_bytes", f"{most} is below max_message_size ({limits})")]


def _tokens_of_one_kind(values: Mapping[str, Any], faulty: set[str]) -> list[Fault]:
    keys = ("bearer_token", "api_token")
    if set(keys) & faulty:
        return []
    bearer_tokens = {token for _, token in _tokens(values["bearer_token"])}
    return [
        Fault("api_token", f"{place}is also a bearer_token (allowed: a different token)")
        for place, token in _tokens(values["api_token"])
        if token in bearer_tokens
    ]


def _overlap(values: Mapping[str, Any]) -> bool:
    hosts = {values["host"].lower(), values["metrics_host"].lower()}
    return len(hosts) == 1 or bool(hosts & _WILDCARDS) or hosts == {"localhost", "127.0.0.1"}


def _tokens(value: object) -> list[tuple[str, str]]:
    if isinstance(value, str):
        return [("", value)]
    tokens = value if isinstance(value, list) else []
    return [
        (f"item {position}: ", token)
        for position, token in enumerate(tokens, start=1)
        if isinstance(token, str)
    ]


def _file_warnings(file: Path, key: str) -> list[Fault]:
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:  # it has gone since it was read, and a reload must not fail for that
        return []
    readable = f"every user can read {file} (mode {mode:04o}), make it 0640"
    return [Fault(key, readable)] if mode & stat.S_IROTH else []
