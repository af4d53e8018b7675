"""Message ids that sort by time: UUID version 7 (RFC 9562 section 5.7)."""

import os
from datetime import UTC, datetime, timedelta

ID_PATTERN = r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
"""Matches a complete message id (UUIDv7)."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_VERSION_7 = 0x7 << 76
_VARIANT_RFC = 0b10 << 62
_FIXED_BITS = 0xF << 76 | 0b11 << 62


def new_message_id(received_at: datetime) -> str:
    """Return a UUIDv7 whose first 48 bits are `received_at` in milliseconds since 1970."""
    milliseconds = milliseconds_since_epoch(received_at)
    random = int.from_bytes(os.urandom(10)) & ~_FIXED_BITS
    digits = f"{milliseconds << 80 | random | _VERSION_7 | _VARIANT_RFC:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def milliseconds_since_epoch(moment: datetime) -> int:
    """Return `moment` (aware) in whole milliseconds, cut to the range that a UUIDv7 can hold."""
    return min(max((moment - _EPOCH) // _MILLISECOND, 0), (1 << 48) - 1)


def moment_of(milliseconds: int) -> datetime:
    """Return `milliseconds` since 1970 as an aware datetime in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
