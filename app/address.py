"""Recognizes bare mail addresses, without a display name and angle brackets."""

import re

MAX_ADDRESS_CHARACTERS = 998  # far beyond RFC 5321's 256, which relays don't enforce

_CONTROLS = r"\x00-\x1f\x7f-\x9f\u2028\u2029\ufffd"  # and the replacement character
_SPECIALS = r"\s\",;:<>()\[\]\\@"
_QUOTED = rf'"(?:[^"\\{_CONTROLS}]|\\[^{_CONTROLS}])*"'
_LOCAL_PART = rf"(?:{_QUOTED}|[^{_SPECIALS}{_CONTROLS}]+)"
LABEL = rf"[^{_SPECIALS}{_CONTROLS}.]+"
"""A regular expression for a label of a domain."""

_LITERAL = rf"\[[^\s\[\]{_CONTROLS}]+\]"
_ADDRESS = re.compile(rf"{_LOCAL_PART}@(?:{_LITERAL}|{LABEL}(?:\.{LABEL})*\.?)")


def is_address(text: str) -> bool:
    """Return whether `text` is one bare address with a domain."""
    return len(text) <= MAX_ADDRESS_CHARACTERS and _ADDRESS.fullmatch(text) is not None
