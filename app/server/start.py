"""What the master does before its first worker starts."""

import logging
import os
import shlex
import sys

from app.auth.generated_token import token_file
from app.auth.tokens import TokenKind
from app.deliveries.signing_secret import secret_file
from app.errors import GoMailError
from app.relay.postfix import received_domains
from app.server.configuration import (
    current_tokens,
    load_settings,
    loaded_inspection,
    loaded_settings,
)
from app.server.ports import port_faults
from app.services import configured_tokens, prepare
from app.settings import InvalidSettings, Settings, inspect
from app.settings.url import address, base_url
from app.storage.factory import place_of
from app.version import __version__

_log = logging.getLogger("gomail")


def settings_or_exit() -> Settings:
    """Return the settings in force.

    Before the first load, load them; if they have faults, print a line for each and exit with 1.
    """
    in_force = loaded_settings()
    if in_force is not None:  # a reload, which app.server.reload has accepted
        return in_force
    try:
        return load_settings()
    except InvalidSettings as error:
        sys.exit("\n".join(str(fault) for fault in error.faults))


def prepare_or_exit(settings: Settings) -> None:
    """Check the ports, then prepare the data directory; when that fails, print why and exit with 1.

    In this order, since the port may be in use by another server with the same data directory.
    """
    if settings.server.mode == "socket" and "LISTEN_FDS" not in os.environ:
        sys.exit("mode: socket needs a socket from systemd, but LISTEN_FDS is not set")
    faults = port_faults(settings)
    if faults:
        sys.exit("\n".join(map(str, faults)))
    try:
        prepare(settings)
        current_tokens()
    except GoMailError as error:
        reason = error.__cause__ or error
        key = "data_dir" if settings.storage.database_url is None else "database_url"
        sys.exit(f"{key}: {place_of(settings.storage)} can't be used: {reason}")


def announce(settings: Settings) -> None:
    """Log the source of the settings, the address, and curl lines that work when pasted."""
    server = settings.server
    inspection = loaded_inspection() or inspect()
    for warning in inspection.warnings:
        _log.warning("%s", warning)
    _log.info("Configuration: %s", inspection.source)
    listens_on = address(server.host, server.port)
    _log.info("GoMail %s listens on http://%s", __version__, listens_on)
    _log.info("Try it: %s", _delivery_line(settings))
    _log.info("Read it: %s", _reading_line(settings))
    if settings.inbox.enabled:
        _log.info("Look at it: %s/inbox, and log in with %s", base_url(server), _login(settings))
    announce_secrets(settings)


def announce_secrets(settings: Settings) -> None:
    """Log the directory of the secrets that were generated for endpoints, not the secrets."""
    names = [endpoint.name for endpoint in settings.deliveries.endpoints if not endpoint.secrets]
    if names:
        directory = secret_file(settings.storage.data_dir, names[0]).parent
        _log.info("Secrets in %s sign what is sent to: %s", directory, ", ".join(names))


def _delivery_line(settings: Settings) -> str:
    # Single quotes only, so that the line is the same inside a JSON string.
    domain = next(iter(received_domains(settings)), "example.com")
    return (
        f"curl --oauth2-bearer {_token(settings, TokenKind.BEARER)}"
        f" -H 'X-Original-Sender: you@example.com' -H 'X-Original-Recipient: support@{domain}'"
        f" -d 'Subject: Hello from curl' {base_url(settings.server)}/mail/inbound"
    )


def _reading_line(settings: Settings) -> str:
    token = _token(settings, TokenKind.API)
    return f"curl --oauth2-bearer {token} {base_url(settings.server)}/messages"


def _login(settings: Settings) -> str:
    if configured_tokens(settings, TokenKind.API):
        return "an api_token"
    return f"the token in {token_file(settings.storage.data_dir, TokenKind.API)}"


def _token(settings: Settings, kind: TokenKind) -> str:
    """Return shell text that stands for the token, so that the token itself isn't logged."""
    if configured_tokens(settings, kind):
        return f"YOUR-{kind.upper().replace('_', '-')}"
    return f"$(cat {shlex.quote(str(token_file(settings.storage.data_dir, kind)))})"
