"""`flask gomail postfix-config`: prints the lines for Postfix's configuration."""

import re
import sys
from pathlib import Path
from typing import Any

import click

from app.auth import generated_token
from app.auth.tokens import TokenKind
from app.cli.options import config_option, inspect_and_name_file
from app.cli.validate import print_faults
from app.relay.postfix import (
    PipeTransport,
    main_cf,
    master_cf,
    missing_domains_warning,
    size_limit_warning,
)
from app.settings import SHARE, Settings
from app.settings.url import base_url

_HTTP_URL = re.compile(r"https?://[^/]+/")
_NOT_IN_MASTER_CF = re.compile(r"[\s{}$\"]")


class OneWord(click.ParamType[str]):
    """Text that master.cf reads as one argument."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the text."""
        if not value or _NOT_IN_MASTER_CF.search(value):
            self.fail(
                f"{value!r} is empty, or contains a space, a brace, a quote or a $", param, ctx
            )
        return str(value)


class Url(OneWord):
    """The URL that the script posts to."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the URL."""
        url = super().convert(value, param, ctx)
        if not _HTTP_URL.match(url):
            self.fail(
                f"{url!r} is not a URL such as http://127.0.0.1:3000/mail/inbound", param, ctx
            )
        return url


class AbsolutePath(OneWord):
    """A file, as an absolute path: Postfix runs the script in its queue directory."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the path."""
        path = super().convert(value, param, ctx)
        if not path.startswith("/"):
            self.fail(f"{path!r} does not begin with /", param, ctx)
        return path


class User(OneWord):
    """A user that pipe(8) accepts."""

    name = "user"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        name = super().convert(value, param, ctx)
        if name.partition(":")[0] in {"root", "postfix"}:
            self.fail(f"Postfix doesn't run a script as {name}", param, ctx)
        return name


@click.command("postfix-config")
@config_option
@click.option("--part", type=click.Choice(["main.cf", "master.cf"]), required=True)
@click.option("--url", type=Url(), help="The URL to deliver to.  [default: this server's]")
@click.option(
    "--token-file",
    type=AbsolutePath(),
    help="The file that holds the token; USER must be able to read it.  [default: this server's]",
)
@click.option("--user", type=User(), default="gomail", show_default=True)
@click.option(
    "--relay", type=AbsolutePath(), help="The gomail-relay script.  [default: the one installed]"
)
def postfix_config(  # noqa: PLR0913, PLR0917 -- one argument an option
    config: Path | None,
    part: str,
    url: str | None,
    token_file: str | None,
    user: str,
    relay: str | None,
) -> None:
    """Print lines for Postfix's main.cf or master.cf, ready to be appended.

    USER runs the script; Postfix accepts neither root nor its own user.
    """
    inspection = inspect_and_name_file(config)
    print_faults(inspection)
    if inspection.settings is None:
        sys.exit(1)
    settings = inspection.settings
    if part == "main.cf":
        for warning in (missing_domains_warning(settings), size_limit_warning(settings)):
            if warning is not None:
                click.echo(f"warning: {warning}", err=True)
        click.echo(main_cf(settings), nl=False)
        return
    transport = PipeTransport(
        url=url or f"{base_url(settings.server)}/mail/inbound",
        token_file=token_file or _default(_token_file(settings), "--token-file"),
        user=user,
        relay=relay or _default(SHARE / "config" / "postfix" / "gomail-relay", "--relay"),
    )
    click.echo(master_cf(settings, transport), nl=False)


def _default(path: Path, option: str) -> str:
    try:
        return AbsolutePath().convert(str(path), None, None)
    except click.BadParameter as error:
        raise click.UsageError(f"{error.message}: copy it elsewhere and give {option}") from error


def _token_file(settings: Settings) -> Path:
    if settings.authentication.bearer_tokens:
        return Path("/etc/gomail/token")
    return generated_token.token_file(settings.storage.data_dir, TokenKind.BEARER)
