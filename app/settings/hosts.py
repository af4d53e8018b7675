"""Tells by its form what a host is."""

import re
from ipaddress import ip_address

from app.networks import PUBLIC, refusal

# RFC 6761, RFC 6762 (with its appendix G), RFC 8375, and the top level that ICANN keeps private.
_LOCAL_DOMAINS = re.compile(
    r"(?:.*\.)?(?:localhost|test|local|intranet|internal|private|corp|home|lan|home\.arpa)"
)


def is_ip_address(host: str) -> bool:
    """Return whether `host` is an IP address, of either version."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_local_host(host: str) -> bool:
    """Return whether `host`, in lower case, seems not to be on the Internet."""
    if is_ip_address(host):
        return refusal(host, PUBLIC) is not None
    return "." not in host or _LOCAL_DOMAINS.fullmatch(host) is not None
