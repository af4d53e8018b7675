"""What the master does before its first worker starts."""

import logging
import os
import shlex
import sys
from collections.abc import Iterable

from app.auth.generated_token import token_file
from app.errors import GoMailError
from app.server.configuration import keep_settings, load_settings, loaded_settings
from app.services import prepare
from app.settings import Fault, InvalidSettings, Settings, inspect
from app.settings.url import address, base_url
from app.version import __version__

_log = logging.getLogger("gomail")


def settings_or_exit() -> Settings:
    """Return the settings.

    If they have faults, a start prints a line for each and exits with 1; a reload logs them and
    keeps the settings in force.
    """
    in_force = loaded_settings()
    try:
        settings = load_settings()
    except InvalidSettings as error:
        if in_force is None:
            sys.exit("\n".join(str(fault) for fault in error.faults))
        return _refuse(error.faults, in_force)
    faults = [] if in_force is None else _needing_restart(in_force, settings)
    return _refuse(faults, in_force) if in_force and faults else settings


def _refuse(faults: Iterable[Fault], in_force: Settings) -> Settings:
    for fault in faults:
        _log.error("The new configuration is refused, the old one stays in force: %s", fault)
    keep_settings(in_force)
    return in_force


def _needing_restart(old: Settings, new: Settings) -> list[Fault]:
    # Gunicorn would close the old port before it knows whether it can open the new one, and nothing
    # would prepare a new data directory.
    pairs = {
        "mode": (old.server.mode, new.server.mode),
        "host": (old.server.host, new.server.host),
        "port": (old.server.port, new.server.port),
        "data_dir": (old.storage.data_dir, new.storage.data_dir),
    }
    return [
        Fault(key, f"can only be changed by a restart, not by a reload ({before} to {after})")
        for key, (before, after) in pairs.items()
        if before != after
    ]


def prepare_or_exit(settings: Settings) -> None:
    """Prepare the data directory; when that fails, print why and exit with 1."""
    if settings.server.mode == "socket" and "LISTEN_FDS" not in os.environ:
        sys.exit("mode: socket needs a socket from systemd, but LISTEN_FDS is not set")
    try:
        prepare(settings)
    except GoMailError as error:
        reason = error.__cause__ or error
        sys.exit(f"data_dir: {settings.storage.data_dir} can't be used: {reason}")


def announce(settings: Settings) -> None:
    """Log where the server listens, and a curl line that works when pasted."""
    server = settings.server
    for warning in inspect().warnings:
        _log.warning("%s", warning)
    listens_on = address(server.host, server.port)
    _log.info("GoMail %s listens on http://%s", __version__, listens_on)
    _log.info("Try it: %s", _curl_line(settings))


def _curl_line(settings: Settings) -> str:
    # Single quotes only, so that the line is the same inside a JSON string. The token itself is
    # never logged.
    domain = settings.mail.primary_domain or "example.com"
    is_configured = bool(settings.authentication.bearer_tokens)
    quoted_file = shlex.quote(str(token_file(settings.storage.data_dir)))
    token = "YOUR-TOKEN" if is_configured else f"$(cat {quoted_file})"
    return (
        f"curl --oauth2-bearer {token}"
        f" -H 'X-Original-Sender: you@example.com' -H 'X-Original-Recipient: support@{domain}'"
        f" -d 'Subject: Hello from curl' {base_url(settings.server)}/mail/inbound"
    )
