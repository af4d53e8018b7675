"""Message ids that sort by time: UUID version 7 (RFC 9562 section 5.7)."""

import secrets
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62


def new_message_id(received_at: datetime) -> str:
    """Return a UUIDv7 whose first 48 bits are `received_at` in milliseconds since 1970."""
    milliseconds = milliseconds_since_epoch(received_at)
    random_a, random_b = secrets.randbits(12), secrets.randbits(62)
    return str(UUID(int=milliseconds << 80 | _VERSION_7 | random_a << 64 | _VARIANT_RFC | random_b))


def first_message_id(moment: datetime) -> str:
    """Return a text that sorts at or before each id made at `moment` and after all earlier ones."""
    return str(UUID(int=milliseconds_since_epoch(moment) << 80))[:13]


def milliseconds_since_epoch(moment: datetime) -> int:
    """Return `moment` (aware) in whole milliseconds, cut to the range that a UUIDv7 can hold."""
    return min(max((moment - _EPOCH) // timedelta(milliseconds=1), 0), (1 << 48) - 1)
