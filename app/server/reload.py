"""Handles SIGHUP: new settings are put in force, or refused before anything has changed."""

import logging
from collections.abc import Iterator

from app.auth.tokens import TokenKind
from app.deliveries.signing_secret import prepare_secrets
from app.errors import GoMailError
from app.server.configuration import loaded_inspection, put_in_force, tokens_under
from app.server.ports import metrics_port_fault
from app.server.start import announce_secrets
from app.settings import Fault, Inspection, Settings, inspect
from app.settings.sources import is_missing

_log = logging.getLogger("gomail")

_ONLY_RESTART = "can only be changed by a restart, not by a reload"


def accept_new_settings() -> bool:
    """In the master: read the settings and put them in force; return False if they are refused.

    Each reason is logged, and the old settings stay.
    """
    old, new = loaded_inspection(), inspect()
    faults = _faults(old, new) if old else new.errors
    for fault in faults:
        _log.error("The new configuration is refused, the old one stays in force: %s", fault)
    if faults:
        return False
    put_in_force(new)
    return True


def announce_reload() -> None:
    """Log that the new settings are in force, with their warnings."""
    inspection = loaded_inspection()
    if inspection is None:
        return
    for warning in inspection.warnings:
        _log.warning("%s", warning)
    _log.info("Configuration reloaded: %s", inspection.source)
    if inspection.settings is not None:
        announce_secrets(inspection.settings)


def _faults(old: Inspection, new: Inspection) -> tuple[Fault, ...]:
    if new.errors or old.settings is None or new.settings is None:
        return new.errors
    return (
        *_file_lost(old, new),
        *_needing_restart(old.settings, new.settings),
        *_metrics_port_in_use(old.settings, new.settings),
        *_missing_tokens(new.settings),
        *_missing_secrets(new.settings),
    )


def _file_lost(old: Inspection, new: Inspection) -> Iterator[Fault]:
    # Its settings would be replaced by the defaults, which accept mail for every domain.
    if old.file is None or not old.file_keys:
        return
    if new.file != old.file and is_missing(old.file):
        yield Fault("config", f"{old.file} does not exist (allowed: only at a restart)")
    elif not new.file_keys:
        yield Fault("config", f"{new.source} sets nothing (allowed: only at a restart)")


def _needing_restart(old: Settings, new: Settings) -> Iterator[Fault]:
    # Gunicorn would close the old port before it knows whether it can open the new one, and nothing
    # would prepare a new data directory or database, or find the messages in another bucket.
    pairs = {
        "mode": (old.server.mode, new.server.mode),
        "host": (old.server.host, new.server.host),
        "port": (old.server.port, new.server.port),
        "data_dir": (old.storage.data_dir, new.storage.data_dir),
        "object_store_url": (_bucket(old), _bucket(new)),
    }
    for key, (before, after) in pairs.items():
        if before != after:
            yield Fault(key, f"{_ONLY_RESTART} ({before} to {after})")
    if old.storage.database_url != new.storage.database_url:  # not shown: it may have a password
        yield Fault("database_url", _ONLY_RESTART)


def _bucket(settings: Settings) -> str | None:
    return settings.storage.objects.url if settings.storage.objects else None


def _missing_tokens(new: Settings) -> Iterator[Fault]:
    # Read here, in the master, for all workers to come.
    for kind in TokenKind:
        try:
            tokens_under(new, kind)
        except GoMailError as error:
            yield Fault(kind, str(error))


def _missing_secrets(new: Settings) -> Iterator[Fault]:
    # The secrets of new endpoints are created before the first message can be delivered.
    try:
        prepare_secrets(new.deliveries.endpoints, new.storage.data_dir)
    except GoMailError as error:
        yield Fault("endpoints", str(error))


def _metrics_port_in_use(old: Settings, new: Settings) -> Iterator[Fault]:
    # With the port unchanged, it is the server itself that uses it.
    if new.metrics.enabled and new.metrics.port != old.metrics.port:
        fault = metrics_port_fault(new.metrics)
        if fault:
            yield fault
