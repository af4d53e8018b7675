"""Collects the values from flags, environment and file, without checking them."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.settings.document import parse, parse_json, repeated_members, shown_key
from app.settings.fault import Fault, UnreadableDocument
from app.settings.files import UnreadableFile, from_home, read_text
from app.settings.names import misspelled, nearest
from app.settings.schema import (
    allowed,
    defaults,
    is_object_list,
    is_secret,
    properties,
    variable,
)
from app.settings.values import from_file, from_text

STANDARD_FILES = tuple(
    Path(directory, name)
    for directory in ("", "/etc/gomail")
    for name in ("gomail.yaml", "gomail.yml")
)
"""Where to look for a configuration file when none is named, in this order."""

_LOG_FORMAT_OF_MAKE = "GOMAIL_DEFAULT_LOG_FORMAT"

_SERVICE_LINK_VALUE = re.compile(r"\s*(tcp|udp|sctp)://", re.IGNORECASE)
_SERVICE_LINK_NAME = re.compile(
    r"_SERVICE_HOST$|_SERVICE_PORT(_|$)|_PORT_[0-9]+_(TCP|UDP|SCTP)(_|$)"
)
_SERVICE_LINK = "looks like a Kubernetes service link: set enableServiceLinks: false"


@dataclass(frozen=True)
class Origin:
    """The variable that sets a key, and the file that it names."""

    variable: str
    file: str = ""
    is_service_link: bool = False

    def of(self, fault: Fault) -> Fault:
        """Return `fault` with the variable or file that the value came from."""
        where = f"in {self.file}, see {self.variable}" if self.file else f"set by {self.variable}"
        cause = f", which {_SERVICE_LINK}" if self.is_service_link else ""
        return Fault(fault.key, f"{fault.message}; {where}{cause}")


@dataclass(frozen=True)
class Source:
    """What one source sets, and what is wrong with it."""

    values: Mapping[str, Any]
    faults: tuple[Fault, ...] = ()
    warnings: tuple[Fault, ...] = ()
    origins: Mapping[str, Origin] = field(default_factory=dict)


def read_flags(flags: Mapping[str, object]) -> Source:
    """Return what the flags set; a flag that is None or empty sets nothing."""
    given = {key: value for key, value in flags.items() if not _is_empty(value)}
    values = {
        key: from_text(properties()[key], value) if isinstance(value, str) else value
        for key, value in _known(given).items()
    }
    return Source(values, _unknown_keys(flags))


def read_environment(environment: Mapping[str, str]) -> Source:
    """Return what the MAIL_ variables set, directly or by naming a file that holds a secret."""
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    faults, warnings = _unknown_variables(environment)
    for key in properties():
        text, fault = _value_of(key, environment)
        if text:
            origins[key] = _origin(key, environment)
            values[key], found = _understood(key, text)
            faults += map(origins[key].of, found)
        if fault:
            faults.append(fault)
    return Source(values, tuple(faults), tuple(warnings), origins)


def read_defaults(environment: Mapping[str, str]) -> Source:
    """Return the default of each key; `make run` chooses that of log_format."""
    chosen = environment.get(_LOG_FORMAT_OF_MAKE)
    return Source(defaults() | ({"log_format": chosen} if chosen else {}))


def find_file(named: Path | None, environment: Mapping[str, str]) -> tuple[Path | None, Source]:
    """Return the configuration file in use, if any, and what it sets."""
    by_variable = environment.get("MAIL_CONFIG", "").strip()
    if named is None and by_variable:
        named = Path(by_variable)
    if named is not None:
        return _found(Path(from_home(str(named))))
    for path in STANDARD_FILES:
        # A file that exists but can't be reached is a fault, not a missing file.
        if not is_missing(path):
            return _found(path)
    return None, Source({})


def merge(*sources: Source) -> dict[str, Any]:
    """Return a value for each key, from the first of `sources` that sets it."""
    merged: dict[str, Any] = {}
    for source in reversed(sources):
        merged |= source.values
    return merged


def is_missing(path: Path) -> bool:
    """Return whether nothing exists at `path`; False when that can't be determined."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _is_empty(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _origin(key: str, environment: Mapping[str, str]) -> Origin:
    text = environment.get(variable(key), "")
    if text.strip():
        return Origin(variable(key), is_service_link=bool(_SERVICE_LINK_VALUE.match(text)))
    name = f"{variable(key)}_FILE"
    return Origin(name, file=from_home(environment[name].strip()))


def _value_of(key: str, environment: Mapping[str, str]) -> tuple[str, Fault | None]:
    text = environment.get(variable(key), "").strip()
    file = environment.get(f"{variable(key)}_FILE", "").strip() if is_secret(key) else ""
    if text and file:
        both = f"both {variable(key)} and {variable(key)}_FILE are set (allowed: one of them)"
        return "", Fault(key, both)
    return (_read_secret(key, Path(from_home(file)))) if file else (text, None)


def _understood(key: str, text: str) -> tuple[object, list[Fault]]:
    known = properties()[key]
    if not is_object_list(known):
        return from_text(known, text), []
    try:
        value = parse_json(text)
    except UnreadableDocument as error:
        return [], [Fault(key, f"{error} (allowed: {allowed(known)}, as JSON)")]
    return from_file(known, value), list(repeated_members(key, value))


def _read_secret(key: str, path: Path) -> tuple[str, Fault | None]:
    try:
        secret = read_text(path).strip()
    except UnreadableFile as error:
        return "", Fault(key, f"{variable(key)}_FILE: {path} {error}")
    empty = Fault(key, f"{variable(key)}_FILE: {path} is empty")
    return secret, None if secret else empty


def _unknown_variables(environment: Mapping[str, str]) -> tuple[list[Fault], list[Fault]]:
    """Return a fault for each misspelled variable, and a warning for each foreign one."""
    names = ["MAIL_CONFIG"]
    for key in properties():
        names += [variable(key), f"{variable(key)}_FILE"] if is_secret(key) else [variable(key)]
    faults, warnings = [], []
    for name in environment:
        if not name.startswith("MAIL_") or name in names:
            continue
        meant = misspelled(name, names)
        if meant:
            faults.append(Fault(shown_key(name), f"is unknown (nearest: {meant})"))
        else:
            warnings.append(Fault(shown_key(name), _foreign_variable(name, names)))
    return faults, warnings


def _foreign_variable(name: str, names: Collection[str]) -> str:
    if _SERVICE_LINK_NAME.search(name):
        return f"is unknown and ignored; it {_SERVICE_LINK}"
    if name.removesuffix("_FILE") in names:
        return "is unknown and ignored: only a secret can be in a file of its own"
    near = nearest(name, names)
    return f"is unknown and ignored (nearest: {near})" if near else "is unknown and ignored"


def _found(path: Path) -> tuple[Path, Source]:
    return path.absolute(), _read_file(path)


def _read_file(path: Path) -> Source:
    try:
        values, repeated = parse(read_text(path), json_only=path.suffix == ".json")
    except (UnreadableFile, UnreadableDocument) as error:
        return Source({}, (Fault("config", f"{path} {error}"),))
    given = {key: value for key, value in values.items() if value is not None}
    understood = {key: from_file(properties()[key], value) for key, value in _known(given).items()}
    return Source(understood, (*repeated, *_unknown_keys(values)))


def _known(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if key in properties()}


def _unknown_keys(keys: Iterable[str]) -> tuple[Fault, ...]:
    return tuple(
        Fault(shown_key(key), _unknown_key(key)) for key in keys if key not in properties()
    )


def _unknown_key(key: str) -> str:
    near = nearest(key, properties())
    known = f"nearest: {near}" if near else "see flask gomail validate --show-schema"
    return f"is unknown ({known})"
