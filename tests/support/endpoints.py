"""Endpoints for tests, without a configuration."""

import base64
from dataclasses import replace
from typing import Any

from app.settings import Endpoint

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""Of the test vector of Standard Webhooks."""

_DEFAULT = Endpoint(
    name="app",
    url="https://app.example.com/hooks/mail",
    recipients=("*",),
    secrets=(SECRET,),
    format="message",
    timeout=30,
    concurrency=8,
    ordered=False,
    ca_file=None,
    client_cert_file=None,
    client_key_file=None,
    networks="any",
)


def endpoint(name: str = "app", **changes: Any) -> Endpoint:
    """Return an endpoint with the defaults of the schema, but for `changes`."""
    return replace(_DEFAULT, name=name, **changes)


def secret_of(size: int, first: int = 0) -> str:
    """Return a secret of `size` bytes; another one for another `first` byte."""
    key = bytes((first + number) % 256 for number in range(size))
    return f"whsec_{base64.b64encode(key).decode('ascii')}"
