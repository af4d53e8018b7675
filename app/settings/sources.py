"""Collects the values from flags, environment and file, without checking them."""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings.document import UnreadableDocument, parse, printable
from app.settings.fault import Fault
from app.settings.schema import Property, defaults, is_secret, nearest, properties, variable

STANDARD_FILES = (Path("gomail.yaml"), Path("/etc/gomail/gomail.yaml"))
"""Where to look for a configuration file when none is named, in this order."""

_SERVICE_LINK_VALUE = re.compile(r"(tcp|udp|sctp)://", re.IGNORECASE)
_SERVICE_LINK_NAME = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_[0-9]+_(TCP|UDP|SCTP)(_|$)"
)
_SERVICE_LINK = "looks like a Kubernetes service link: set enableServiceLinks: false"

_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


@dataclass(frozen=True)
class Source:
    """What one source sets, and what is wrong with it."""

    values: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()


def from_text(known: Property, text: str) -> object:
    """Return `text` converted to the type in the schema, or unchanged when that fails."""
    kinds = known["type"]
    if kinds == "integer":
        return int(text) if re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", text, re.ASCII) else text
    if kinds == "boolean":
        return _TRUTH.get(text.strip().lower(), text)
    if kinds == "array" or ("array" in kinds and "," in text):
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def read_flags(flags: Mapping[str, object]) -> Source:
    """Return what the flags set; a flag that is None or empty sets nothing."""
    given = {key: value for key, value in flags.items() if value not in (None, "")}
    values = {
        key: from_text(properties()[key], value) if isinstance(value, str) else value
        for key, value in _known(given).items()
    }
    return Source(values, _unknown_keys(flags))


def read_environment(environment: Mapping[str, str]) -> Source:
    """Return what the MAIL_ variables set, directly or by naming a file that holds a secret."""
    values: dict[str, Any] = {}
    faults = _unknown_variables(environment)
    for key, known in properties().items():
        text, fault = _value_of(key, environment)
        if text:
            values[key] = from_text(known, text)
        if fault:
            faults.append(fault)
    return Source(values, tuple(faults))


def find_file(named: Path | None, environment: Mapping[str, str]) -> tuple[Path | None, Source]:
    """Return the configuration file in use, if any, and what it sets."""
    if named is None and environment.get("MAIL_CONFIG"):
        named = Path(environment["MAIL_CONFIG"])
    if named is not None:
        return named, _read_file(named)
    for path in STANDARD_FILES:
        # A file that exists but can't be reached is a fault, not a missing file.
        if not _is_missing(path):
            return path, _read_file(path)
    return None, Source({})


def merge(*sources: Source) -> dict[str, Any]:
    """Return a value for each key, from the first of `sources` that sets it."""
    merged = defaults()
    for source in reversed(sources):
        merged |= source.values
    return merged


def located(fault: Fault, environment: Mapping[str, str]) -> Fault:
    """Return `fault` with the name of the variable that the value came from."""
    name = variable(fault.key)
    is_link = _SERVICE_LINK_VALUE.match(environment.get(name, ""))
    cause = f", which {_SERVICE_LINK}" if is_link else ""
    return Fault(fault.key, f"{fault.message}; set by {name}{cause}")


def _value_of(key: str, environment: Mapping[str, str]) -> tuple[str, Fault | None]:
    text = environment.get(variable(key), "")
    file = environment.get(f"{variable(key)}_FILE", "") if is_secret(key) else ""
    if text and file:
        both = f"both {variable(key)} and {variable(key)}_FILE are set (allowed: one of them)"
        return "", Fault(key, both)
    return (_read_secret(key, Path(file))) if file else (text, None)


def _read_secret(key: str, path: Path) -> tuple[str, Fault | None]:
    try:
        secret = path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        return "", Fault(key, f"{variable(key)}_FILE: {path} {_reason(error)}")
    empty = Fault(key, f"{variable(key)}_FILE: {path} is empty")
    return secret, None if secret else empty


def _unknown_variables(environment: Mapping[str, str]) -> list[Fault]:
    names = {"MAIL_CONFIG"}
    for key in properties():
        names |= {variable(key), f"{variable(key)}_FILE"} if is_secret(key) else {variable(key)}
    return [
        Fault(printable(name), _unknown_variable(name, names))
        for name in environment
        if name.startswith("MAIL_") and name not in names
    ]


def _unknown_variable(name: str, names: set[str]) -> str:
    if _SERVICE_LINK_NAME.search(name):
        return f"is unknown, and {_SERVICE_LINK}"
    return _unknown(name, names)


def _read_file(path: Path) -> Source:
    try:
        text = path.read_text(encoding="utf-8-sig")
        values, repeated = parse(text, json_only=path.suffix == ".json")
    except (OSError, ValueError) as error:
        return Source({}, (Fault("config", f"{path} {_reason(error)}"),))
    except UnreadableDocument as error:
        return Source({}, (Fault("config", f"{path} {error}"),))
    given = {key: value for key, value in values.items() if value is not None}
    return Source(_known(given), (*repeated, *_unknown_keys(values)))


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in properties()}


def _unknown_keys(keys: Iterable[str]) -> tuple[Fault, ...]:
    names = set(properties())
    return tuple(Fault(printable(key), _unknown(key, names)) for key in keys if key not in names)


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _unknown(name: str, names: set[str]) -> str:
    return f"is unknown (nearest: {nearest(name, sorted(names))})"


def _reason(error: OSError | ValueError) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8 text"
    if isinstance(error, OSError) and error.errno:
        return f"can't be read: {os.strerror(error.errno)}"
    return "can't be read"
