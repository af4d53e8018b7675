"""Secrets of endpoints in the format of Standard Webhooks 1.0."""

import base64
import binascii
import re

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64
MOST_SECRETS = 5
"""The largest number of secrets of an endpoint, each of which signs."""

_PREFIXES = r"wh(?:sec|sk)_"  # symmetric secrets, and private keys


def check_webhook_secret(text: str) -> None:
    """Raise ValueError, which doesn't quote it, unless receivers can use this secret."""
    if not text.startswith(PREFIX):
        raise ValueError(f"does not begin with {PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"is not base64 after {PREFIX}") from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"holds {len(key)} bytes, not {LEAST_BYTES} to {MOST_BYTES}")


def split_secrets(text: str) -> list[str]:
    """Return the secrets in `text`, separated by commas or white space."""
    return [secret for secret in re.split(r"[\s,]+", text) if secret]


def is_secret(text: str) -> bool:
    """Return whether `text` looks like a secret, valid or not."""
    return re.match(_PREFIXES, text.strip()) is not None


def holds_secret(text: str) -> bool:
    """Return whether `text` seems to contain a secret."""
    return re.search(_PREFIXES, text) is not None


def without_secrets(text: str) -> str:
    """Return `text` with "***" in place of everything after the prefix of a secret."""
    return re.sub(rf"({_PREFIXES})[^\s\"',;)\]}}]+", r"\1***", text)
