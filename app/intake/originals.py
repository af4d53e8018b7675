"""The envelope in the message itself: X-Original- fields at its beginning.

`messages export` writes them, so that what it has written can be sent in again. They count only
where the request says nothing, as From and To do, and only at the beginning: a sender whose
mail comes through a relay can't put anything before the relay's own fields.
"""

import re

from app.mime.head import start_of_head
from app.storage.message import Envelope
from app.storage.original_fields import original_fields

_MBOX_LINE = re.compile(rb"\s*>?From [^\n]*\n")


def with_originals(raw: bytes, envelope: Envelope) -> bytes:
    """Return `raw` with the envelope before its first field, unless it is there already."""
    start = start_of_head(raw)
    end = "\r\n" if b"\r\n" in raw[start : start + 1000] else "\n"
    lines = [f"{name}: {value}{end}" for name, value in original_fields(envelope).items()]
    fields = "".join(lines).encode("utf-8", "backslashreplace")
    return raw if raw.startswith(fields, start) else raw[:start] + fields + raw[start:]


def without_mbox_line(raw: bytes) -> bytes:
    """Return `raw` without the line of an mbox that it begins with, if any."""
    line = _MBOX_LINE.match(raw)
    return raw[line.end() :] if line else raw
