"""`flask gomail endpoints test`: sends a signed sample, and says what is wrong."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click

from app.cli.opened_store import valid_settings
from app.cli.options import config_option
from app.cli.parameters import quoted
from app.deliveries.advice import advice
from app.deliveries.endpoint_tester import EndpointTester
from app.deliveries.outcome import Outcome
from app.deliveries.signing_secret import secret_file, signing_secrets
from app.errors import GoMailError
from app.printable import escape
from app.settings import Endpoint, Settings
from app.settings.webhook_url import shown_url


@click.command("test")
@config_option
@click.argument("name")
def send_sample(config: Path | None, name: str) -> None:
    """Send a signed sample to an endpoint, even if it is paused, and say what is wrong.

    The sample is a message with the subject "GoMail test" and the null sender; it is not stored.
    The exit code is 0 if the endpoint accepts it, 1 otherwise.
    """
    settings = valid_settings(config)
    endpoint = _endpoint(settings, name)
    secrets = _secrets(settings, endpoint)
    outcome = EndpointTester(lambda _: secrets, lambda: datetime.now(UTC)).test(endpoint)
    _show_answer(outcome)
    if outcome.reason is not None:
        click.echo(f"broken: {outcome.reason}: {escape(outcome.attempt.error or '')}")
        sys.exit(advice(outcome))
    where = f"{shown_url(endpoint.url)} ({outcome.attempt.address})"
    attempt = outcome.attempt
    click.echo(f"ok: {where} answered {attempt.status} within {attempt.duration_ms} ms")


def _endpoint(settings: Settings, name: str) -> Endpoint:
    endpoints = {endpoint.name: endpoint for endpoint in settings.deliveries.endpoints}
    if name not in endpoints:
        known = ", ".join(endpoints) or "none"
        sys.exit(f"No endpoint with the name {quoted(name)} is configured (configured: {known}).")
    return endpoints[name]


def _secrets(settings: Settings, endpoint: Endpoint) -> Sequence[str]:
    data_dir = settings.storage.data_dir
    try:
        # The server creates it: it might be unable to read a file created by this command's user.
        if not endpoint.secrets and not secret_file(data_dir, endpoint.name).exists():
            sys.exit(
                f"{endpoint.name} has no secret yet: start or reload the server to generate one."
            )
        return signing_secrets(endpoint, data_dir)
    except (GoMailError, PermissionError) as error:
        sys.exit(f"The secret of {endpoint.name}: {error} Run this as the server's user.")


def _show_answer(outcome: Outcome) -> None:
    for line in outcome.attempt.answer.decode("utf-8", "replace").splitlines():
        click.echo(f"> {escape(line.expandtabs())}", err=True)
