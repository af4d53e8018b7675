"""The settings: read from flags, environment and file, checked, and typed.

Precedence: flag, `MAIL_<KEY>`, configuration file, default.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings.advice import warnings
from app.settings.checks import errors
from app.settings.endpoints import Deliveries, Endpoint
from app.settings.fault import Fault, InvalidSettings
from app.settings.masking import masked
from app.settings.model import (
    Mail,
    ObjectStore,
    RateLimit,
    Server,
    Settings,
    Storage,
    assemble,
)
from app.settings.schema import SHARE
from app.settings.secret_files import read_secret_files
from app.settings.sources import (
    find_file,
    merge,
    read_defaults,
    read_environment,
    read_flags,
)
from app.settings.webhook_secret import without_secrets

__all__ = [
    "SHARE",
    "Deliveries",
    "Endpoint",
    "Fault",
    "Inspection",
    "InvalidSettings",
    "Mail",
    "ObjectStore",
    "RateLimit",
    "Server",
    "Settings",
    "Storage",
    "inspect",
    "load",
]


@dataclass(frozen=True)
class Inspection:
    """The result of reading a configuration.

    `values` is the effective value of each key with secrets masked, `file` the configuration
    file that was read, absolute, and `file_keys` what it sets; `settings` is None when there are
    errors.
    """

    values: Mapping[str, Any]
    errors: tuple[Fault, ...]
    warnings: tuple[Fault, ...]
    file: Path | None
    file_keys: frozenset[str]
    settings: Settings | None

    @property
    def source(self) -> str:
        """Where the settings come from, for people."""
        return str(self.file or "defaults and environment")


def load(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Settings:
    """Return the settings; the arguments are those of `inspect`.

    Raises InvalidSettings with every fault.
    """
    inspection = inspect(flags, environ, config)
    if inspection.settings is None:
        raise InvalidSettings(inspection.errors)
    return inspection.settings


def inspect(
    flags: Mapping[str, object] | None = None,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
) -> Inspection:
    """Return the effective configuration, with every fault in it.

    `flags` maps keys to values, as text or typed; `environ` is the process's own when None;
    `config` names the file, otherwise MAIL_CONFIG or one of the standard places does.
    """
    environment = os.environ if environ is None else environ
    file, from_file = find_file(config, environment)
    from_flags, from_environment = read_flags(flags or {}), read_environment(environment)
    sources = (from_flags, from_environment, from_file)
    values = merge(*sources, read_defaults(environment))
    secret_files = read_secret_files(values)
    origins = {k: v for k, v in from_environment.origins.items() if k not in from_flags.values}
    wrong = [fault for source in sources for fault in source.faults] + [
        origins[fault.setting].of(fault) if fault.setting in origins else fault
        for fault in errors(values, secret_files.faults)
    ]
    unwise = [
        origins[fault.setting].of(fault)
        if fault.setting in origins and origins[fault.setting].file
        else fault
        for fault in warnings(values, file, from_file.values)
    ]
    settings = None if wrong else assemble(values, secret_files.secrets)
    effective = {} if settings is None else {"data_dir": str(settings.storage.data_dir)}
    return Inspection(
        values=masked(values) | effective,
        errors=tuple(map(_unrevealing, wrong)),
        warnings=tuple(map(_unrevealing, (*from_environment.warnings, *unwise))),
        file=file,
        file_keys=frozenset(from_file.values),
        settings=settings,
    )


def _unrevealing(fault: Fault) -> Fault:
    # A secret may be in the wrong place, such as that of a path, and be quoted.
    return Fault(fault.key, without_secrets(fault.message))
