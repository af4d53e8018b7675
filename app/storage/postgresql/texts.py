"""Texts as PostgreSQL keeps them: it has no NUL, which may be in any text of a message.

NUL, and the characters that are used to write it, are written as three characters each. Of these
the first is never the second or third one of another: so a text contains another exactly if what is
stored of one contains what is stored of the other.
"""

import hashlib
import re

from app.domains import comparable_address

# The last code points, which Unicode guarantees to be no characters.
_FIRST, _LOW, _HIGH = "\U0010fffd", "\U0010fffe", "\U0010ffff"
_CODES = {
    "\0": _FIRST + _LOW + _LOW,
    _FIRST: _FIRST + _LOW + _HIGH,
    _LOW: _FIRST + _HIGH + _LOW,
    _HIGH: _FIRST + _HIGH + _HIGH,
}
_TABLE = str.maketrans(_CODES)
_ORIGINALS = {code: original for original, code in _CODES.items()}
_CODE = re.compile(f"{_FIRST}..")
# PostgreSQL can't index a text of more than about 2,700 bytes.
_MOST_KEY_BYTES = 2000


def stored_text(text: str) -> str:
    """Return `text` as it is stored; raises UnicodeEncodeError for surrogates."""
    text.encode()
    return text.translate(_TABLE) if "\0" in text or max(text, default="") >= _FIRST else text


def original_text(stored: str) -> str:
    """Return the text that is stored like this."""
    if _FIRST not in stored:
        return stored
    return _CODE.sub(lambda code: _ORIGINALS[code[0]], stored)


def stored_key(key: str) -> str:
    """Return `key` as it is stored where it is only looked up, as a whole."""
    stored = stored_text(key)
    if len(stored) * 4 <= _MOST_KEY_BYTES or len(stored.encode()) <= _MOST_KEY_BYTES:
        return stored
    return f"sha256:{hashlib.sha256(stored.encode()).hexdigest()}"


def address_key(address: str) -> str:
    """Return what is stored to look `address` up by."""
    return stored_key(comparable_address(address))
