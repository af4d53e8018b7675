"""Compares the Message-ID of stored messages, which is not in the index but in their header."""

from app.mime.fields import read_ids
from app.mime.head import MAX_BYTES, read_head, start_of_head

HEAD_BYTES = MAX_BYTES + 4096
"""How much of a message to read: its longest header section, and lines that may precede it."""


def has_header_message_id(raw: bytes, wanted: str) -> bool:
    """Return whether the message in `raw` has the Message-ID `wanted`, without angle brackets.

    `raw` may end anywhere after the header section.
    """
    # An id is never folded, as it has no white space: searching takes a tenth of the parsing time.
    if wanted.isascii() and wanted.encode() not in raw:
        return False
    head = read_head(raw, start_of_head(raw), len(raw), set())
    return read_ids(head.value("message-id") or b"")[:1] == (wanted,)
