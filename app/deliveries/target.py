"""Splits the URL of an endpoint."""

from dataclasses import dataclass

from urllib3.util import parse_url

_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True)
class Target:
    """The parts of a URL.

    `name` is looked up, and must be in the certificate; `host` is the value of the Host header.
    `path` includes the query.
    """

    is_tls: bool
    name: str
    port: int
    host: str
    path: str


def target_of(url: str) -> Target:
    """Return the target of `url`, which must be http or https and have a host."""
    parsed = parse_url(url)
    scheme, host = parsed.scheme or "http", parsed.host or ""
    port = parsed.port or _PORTS[scheme]
    return Target(
        is_tls=scheme == "https",
        name=host.strip("[]"),
        port=port,
        host=host if port == _PORTS[scheme] else f"{host}:{port}",
        path=parsed.request_uri,
    )
