"""Signs requests according to Standard Webhooks 1.0.0: version 1, HMAC-SHA256.

The library `standardwebhooks` can't be used, since it signs only text, and raw mail is bytes in any
charset; the tests compare the two.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime

PREFIX = "whsec_"


def webhook_id(message_id: str) -> str:
    """Return the id by which a receiver recognizes repeats of a message."""
    return f"msg_{message_id}"


def signed(identity: str, at: datetime, body: bytes, secrets: Sequence[str]) -> Mapping[str, str]:
    """Return the header fields for an attempt at the time `at`, signed with each of `secrets`.

    `identity` must not contain a dot. A secret is in base64, with or without PREFIX.
    """
    timestamp = str(int(at.timestamp()))
    content = f"{identity}.{timestamp}.".encode() + body
    return {
        "webhook-id": identity,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(_signature(content, secret) for secret in secrets),
    }


def _signature(content: bytes, secret: str) -> str:
    key = b64decode(secret.removeprefix(PREFIX) + "==")  # in case the padding is missing
    return "v1," + b64encode(hmac.digest(key, content, hashlib.sha256)).decode()
