"""The endpoints that messages are sent to, typed."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from app.settings.files import absolute_path
from app.settings.schema import members
from app.settings.webhook_url import ascii_url

WEBHOOK = "webhook"
"""The name of the endpoint of webhook_url."""

Secrets = Mapping[str, Sequence[str]]
"""The secrets in each secret_file, by its path as configured."""


@dataclass(frozen=True)
class Endpoint:
    """A destination for messages.

    `recipients` are patterns; see app.deliveries.routes. `secrets` is empty if a generated secret
    is used; see app.deliveries.signing_secret. `timeout` is in seconds, paths are absolute, and the
    host in `url` is in ASCII.
    """

    name: str
    url: str = field(repr=False)  # its path or query may contain a token
    recipients: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    format: str
    timeout: int
    concurrency: int
    ordered: bool
    ca_file: Path | None
    client_cert_file: Path | None
    client_key_file: Path | None
    networks: str


@dataclass(frozen=True)
class Deliveries:
    """The endpoints, and the number of threads for all of them."""

    endpoints: tuple[Endpoint, ...]
    threads: int


def make_endpoints(values: Mapping[str, Any], secrets: Secrets) -> Iterator[Endpoint]:
    """Yield the endpoints of `values`, which must be valid; that of webhook_url comes first."""
    if values["webhook_url"]:
        given = {"name": WEBHOOK, "url": values["webhook_url"]}
        yield _endpoint(given, as_tuple(values["webhook_secret"]))
    for given in values["endpoints"]:
        files = as_tuple(given.get("secret_file"))
        yield _endpoint(given, tuple(secret for file in files for secret in secrets[file]))


def with_defaults(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the members of an endpoint in the order of the schema, with defaults if not given."""
    constants = {name: known["default"] for name, known in _members().items() if "default" in known}
    merged = {**constants, **given}
    return {name: merged[name] for name in _members() if name in merged}


def endpoints_in(values: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Yield each mapping in the list of endpoints, valid or not, with its path."""
    given = values["endpoints"]
    for index, item in enumerate(given if isinstance(given, list) else []):
        if isinstance(item, dict):
            yield f"endpoints[{index}]", item


def as_tuple(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """Return a text, a list of texts, or None as a tuple."""
    return (given,) if isinstance(given, str) else tuple(given or ())


def _endpoint(given: Mapping[str, Any], secrets: tuple[str, ...]) -> Endpoint:
    full = with_defaults(given)
    return Endpoint(
        name=full["name"],
        url=ascii_url(full["url"]),
        recipients=tuple(full["recipients"]),
        secrets=secrets,
        format=full["format"],
        timeout=full["timeout"],
        concurrency=full["concurrency"],
        ordered=full["ordered"],
        ca_file=_path(full, "ca_file"),
        client_cert_file=_path(full, "client_cert_file"),
        client_key_file=_path(full, "client_key_file"),
        networks=full["networks"],
    )


def _path(given: Mapping[str, Any], name: str) -> Path | None:
    return absolute_path(given[name]) if name in given else None


def _members() -> Mapping[str, Any]:
    return members("endpoints")
