"""The settings: read from flags, environment and file, checked, and typed.

Precedence: flag, `MAIL_<KEY>`, configuration file, default.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import checks
from app.settings.fault import Fault, InvalidSettings
from app.settings.model import (
    Mail,
    RateLimit,
    Server,
    Settings,
    Storage,
    assemble,
)
from app.settings.schema import SHARE
from app.settings.sources import (
    find_file,
    merge,
    read_defaults,
    read_environment,
    read_flags,
)

__all__ = [
    "SHARE",
    "Fault",
    "Inspection",
    "InvalidSettings",
    "Mail",
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
    origins = {k: v for k, v in from_environment.origins.items() if k not in from_flags.values}
    errors = [fault for source in sources for fault in source.faults] + [
        origins[fault.key].of(fault) if fault.key in origins else fault
        for fault in checks.errors(values)
    ]
    warnings = [
        origins[fault.key].of(fault) if fault.key in origins and origins[fault.key].file else fault
        for fault in checks.warnings(values, file, from_file.values)
    ]
    settings = None if errors else assemble(values)
    effective = {} if settings is None else {"data_dir": str(settings.storage.data_dir)}
    return Inspection(
        values=checks.masked(values) | effective,
        errors=tuple(errors),
        warnings=(*from_environment.warnings, *warnings),
        file=file,
        file_keys=frozenset(from_file.values),
        settings=settings,
    )
