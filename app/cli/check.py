"""`flask gomail check`: sends a test message end to end, and reports what is broken."""

import sys
from enum import IntEnum
from pathlib import Path
from typing import Any

import click

from app.auth.generated_token import token_file
from app.auth.tokens import TokenKind
from app.cli.options import config_option, inspect_and_name_file
from app.cli.validate import print_faults
from app.errors import GoMailError
from app.relay.canary import (
    BrokenLink,
    Canary,
    new_canary,
    send_over_http,
    send_over_smtp,
    wait_for_arrival,
)
from app.relay.postfix import received_domains, size_limit_warning
from app.services import tokens_of_kind
from app.settings import Settings, Storage
from app.storage.factory import has_store, open_store, place_of


class ExitCode(IntEnum):
    """As for monitoring plugins (Monitoring Plugins Development Guidelines, section 2)."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class HostAndPort(click.ParamType[tuple[str, int]]):
    """`host:port`; an IPv6 address is in brackets."""

    name = "host:port"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        """Return host and port."""
        host, _, port = str(value).rpartition(":")
        bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        is_bare_ipv6 = ":" in host and bare == host
        if not bare or is_bare_ipv6 or not port.isdecimal() or not 0 < int(port) < 65_536:
            self.fail(f"{value!r} is not a host:port such as 127.0.0.1:25 or [::1]:25", param, ctx)
        return bare, int(port)


@click.command()
@config_option
@click.option("--smtp", type=HostAndPort(), help="Also send one through this mail server.")
@click.option(
    "--timeout",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="Seconds to wait for an answer, and again for the message to arrive.",
)
def check(config: Path | None, smtp: tuple[str, int] | None, timeout: int) -> None:
    """Send a test message through the running server, check that it is stored, and remove it.

    The exit code is 0 when all is well, 1 for a warning, 2 when something is broken, 3 when the
    configuration is invalid.
    """
    inspection = inspect_and_name_file(config)
    if inspection.settings is None:
        print_faults(inspection)
        sys.exit(ExitCode.UNKNOWN)
    settings = inspection.settings
    try:
        _check_http(settings, timeout)
        if smtp is not None:
            _check_smtp(settings, smtp, timeout)
    except BrokenLink as error:
        click.echo(f"broken: {error}")
        sys.exit(ExitCode.CRITICAL)
    warning = size_limit_warning(settings)
    if warning is not None:
        click.echo(f"warning: {warning}")
        sys.exit(ExitCode.WARNING)


def _check_http(settings: Settings, timeout: int) -> None:
    _find_store(settings)
    token = _token(settings)
    canary = new_canary(settings)
    send_over_http(canary, settings, token, timeout)
    _see_it_stored(canary, settings, timeout)
    click.echo("ok: the server accepts and stores messages")


def _check_smtp(settings: Settings, smtp: tuple[str, int], timeout: int) -> None:
    if not received_domains(settings):
        raise BrokenLink("No domain is configured to send the message to: set primary_domain.")
    canary = new_canary(settings)
    send_over_smtp(canary, *smtp, timeout)
    _see_it_stored(canary, settings, timeout)
    click.echo(f"ok: messages arrive through the mail server at {smtp[0]} port {smtp[1]}")


def _find_store(settings: Settings) -> None:
    try:
        exists = has_store(settings.storage)
    except GoMailError as error:
        raise BrokenLink(_why_unreadable(settings.storage, error)) from error
    if not exists:
        key = "data_dir" if settings.storage.database_url is None else "database_url"
        raise BrokenLink(
            f"{key} ({place_of(settings.storage)}) has no store: no server was ever started with"
            " this configuration, or it stores elsewhere."
        )


def _why_unreadable(settings: Storage, error: GoMailError) -> str:
    if settings.database_url is None:
        return f"{settings.data_dir} can't be read. Run this as the user of the server."
    return f"{place_of(settings)} can't be used: {error.__cause__ or error}"


def _token(settings: Settings) -> bytes:
    # Only the server may create one: it might not be able to read a file of this command's user.
    configured = settings.authentication.bearer_tokens
    if not configured and not token_file(settings.storage.data_dir, TokenKind.BEARER).exists():
        raise BrokenLink(
            "Neither the configuration nor data_dir has a token: the server was started with a"
            " different configuration."
        )
    try:
        return tokens_of_kind(settings, TokenKind.BEARER)[0].secret
    except GoMailError as error:
        raise BrokenLink(f"{error} Run this as the user of the server.") from error


def _see_it_stored(canary: Canary, settings: Settings, timeout: int) -> None:
    store = open_store(settings.storage)
    try:
        wait_for_arrival(canary, store, timeout)
    finally:
        store.close()
