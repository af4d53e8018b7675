"""Mail addresses as envelopes and headers carry them (RFC 5321 section 4.1.2, RFC 6531)."""

import re
from email.utils import getaddresses

MAX_ADDRESS_CHARACTERS = 998  # far beyond RFC 5321's 256, which relays don't enforce

_CONTROLS = r"\x00-\x1f\x7f-\x9f\ufffd"  # and what a character that got lost becomes
_SPECIALS = r"\s\",;:<>()\[\]\\@"
_QUOTED = rf'"(?:[^"\\{_CONTROLS}]|\\[^{_CONTROLS}])*"'
_LOCAL_PART = rf"(?:{_QUOTED}|[^{_SPECIALS}{_CONTROLS}]+)"
_LABEL = rf"[^{_SPECIALS}{_CONTROLS}.]+"
_LITERAL = rf"\[[^\s\[\]{_CONTROLS}]+\]"
_ADDRESS = re.compile(rf"{_LOCAL_PART}@(?:{_LITERAL}|{_LABEL}(?:\.{_LABEL})*\.?)")
# A name that needs quotes and has none, as in `ann@example.com via List <list@example.org>`, would
# be taken for an address.
_NAMED = re.compile(rf"[^\",;:<>()\\]*<\s*({_ADDRESS.pattern})\s*>\s*(?:,|$)")
_COMMENT = re.compile(r"\((?:[^()\\]|\\.)*\)")  # RFC 5322 section 3.2.2, not nested
_SPACE_IN_ADDRESS = re.compile(r"\s*([@.])\s*")  # RFC 5322 section 4.4


def is_address(text: str) -> bool:
    """Tell whether `text` is one bare address with a domain."""
    return len(text) <= MAX_ADDRESS_CHARACTERS and _ADDRESS.fullmatch(text) is not None


def find_addresses(text: str) -> list[str]:
    """Return the bare addresses in a header value such as `Ann <ann@example.com>, bob@…`.

    Never raises: what can't be understood holds no addresses.
    """
    text = text.strip()
    if is_address(text):
        return [text]
    named, end = [], 0
    while match := _NAMED.match(text, end):
        named.append(match[1])
        end = match.end()
    return [address for address in named + _parsed(text[end:]) if is_address(address)]


def _parsed(text: str) -> list[str]:
    try:
        candidates = getaddresses([text])
    except (RecursionError, ValueError, IndexError, AttributeError):
        return []  # hostile nesting exhausts the standard library's parser
    # It makes one word of several: what it found has to be there, but for the space and the
    # comments that an address may have in it.
    there = "\n".join(_SPACE_IN_ADDRESS.sub(r"\1", each) for each in (text, _COMMENT.sub("", text)))
    return [address for _, address in candidates if address in there]


def domain_of(address: str) -> str:
    """Return the domain of `address` for comparing: lower case, ASCII (IDNA) where possible."""
    return comparable_domain(address.rpartition("@")[2])


def comparable_domain(domain: str) -> str:
    """Return `domain` in lower case, without a trailing dot, in ASCII (IDNA) where possible."""
    domain = domain.lower().rstrip(".")
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode("ascii")
    except UnicodeError:
        return domain
