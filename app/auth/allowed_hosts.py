"""The host names that the inbox page may be opened under.

A site can point a name of its own at this server (DNS rebinding), and a browser then lets the
site's scripts read the answers. It still sends that name in the Host header.
"""

import re
from collections.abc import Collection, Iterable
from ipaddress import ip_address

from app.domains import comparable

_ALWAYS = ("localhost", "127.0.0.1", "::1")
# No name is longer, and what anyone sends is remembered by `comparable`.
_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]{1,255})\]|([^\[\]:]{1,255}))(?::[0-9]{1,5})?")


def allowed_hosts(names: Iterable[str]) -> frozenset[str]:
    """Return the hosts that are always allowed, and `names`, for `is_allowed`."""
    return frozenset(_canonical(name) for name in (*_ALWAYS, *names))


def is_allowed(host: str | None, allowed: Collection[str]) -> bool:
    """Return whether the Host header names one of `allowed`, on any port."""
    found = _HOST_AND_PORT.fullmatch(host or "")
    if found is None or not found[0].isascii():
        return False
    return _canonical(found[1] or found[2]) in allowed


def _canonical(name: str) -> str:
    try:
        return str(ip_address(name))
    except ValueError:
        return comparable(name)
