"""Completes the message ids that people abbreviate."""

import re
import sys

from app.cli.parameters import quoted
from app.errors import MessageNotFound
from app.storage.interface import MessageStore

_PREFIX = re.compile(r"[0-9a-f-]{1,36}")


def complete_id(store: MessageStore, given: str) -> str:
    """Return the only id that begins with `given`, in any case; exit with 1 if there are several.

    Raises MessageNotFound, StorageUnavailable.
    """
    prefix = given.lower()
    found = store.ids_with_prefix(prefix, 2) if _PREFIX.fullmatch(prefix) else []
    if not found:
        raise MessageNotFound(f"No message has the id {quoted(given)}.")
    if len(found) > 1:
        sys.exit(f"Several messages have an id that begins with {quoted(given)}: give more of it.")
    return found[0]
