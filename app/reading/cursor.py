"""Makes and parses cursors: opaque to clients, they hold a store's id and a message's number."""

import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode

from app.errors import BadRequest

_CURSOR = struct.Struct(">B8sQ")
_VERSION = 1
_LATEST = 2**63 - 1  # SQLite's largest integer


def make_cursor(identity: bytes, number: int) -> str:
    """Return the cursor of the message with the number `number`; 0 precedes all messages.

    `identity` is the result of MessageStore.identity.
    """
    return urlsafe_b64encode(_CURSOR.pack(_VERSION, identity, number)).decode().rstrip("=")


def parse_cursor(cursor: str, identity: bytes) -> int:
    """Return the number in `cursor`; raises BadRequest unless it was made for this store."""
    number = _number(cursor, identity)
    if number is None or make_cursor(identity, number) != cursor:
        raise BadRequest("The cursor is invalid: pass the `next` of an answer unchanged.")
    return number


def _number(cursor: str, identity: bytes) -> int | None:
    try:
        packed = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        version, store, number = _CURSOR.unpack(packed)
    except (ValueError, struct.error):
        return None
    if version != _VERSION or number > _LATEST:
        return None
    if store != identity:
        raise BadRequest(
            "The cursor is from another store: start over, with an empty `after` or no cursor."
        )
    return int(number)
