"""Finds the client whose bucket a request takes its token from.

The client is the peer. A trusted proxy may name another one, since behind Postfix or a load
balancer every request comes from one address. From anyone else a forwarding header proves nothing
and is ignored (RFC 7239 section 8.1).

Where a trusted proxy names its client in a way that can't be read, the client is the nearest
address that is known. Another header is never read instead: the client may have written it.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import NamedTuple

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# A client with a /64 of IPv6 has 2**64 addresses; they share a bucket.
_IPV6_PREFIX_BITS = 64

# Some proxies add the port: 203.0.113.9:4711, [2001:db8::1]:443, or only the brackets.
_PORT = re.compile(r"\[([^\]]*:[^\]]*)\](?::[0-9]{1,5})?|([0-9.]+):[0-9]{1,5}")


class Claims(NamedTuple):
    """What the headers of a request say about its client; None for a header that is absent."""

    original_client_address: str | None = None
    forwarded_for: str | None = None
    real_ip: str | None = None


def client_of(peer: str, claims: Claims, trusted: Sequence[Network]) -> str:
    """Return the name of the client's bucket: an IPv4 address, or an IPv6 network of 64 bits.

    `peer` is the address that the connection comes from, "" for a Unix socket, whose peer is
    trusted.
    """
    nearest = _parse(peer)
    if nearest is not None and not _is_in(nearest, trusted):
        return _name(nearest)
    for entry in _named_by_proxies(claims):
        address = _parse(entry)
        if address is None:
            return _name(nearest)
        nearest = address
        if not _is_in(nearest, trusted):
            return _name(nearest)  # a client behind a proxy is trusted no more than a direct one
    return _name(_parse(claims.original_client_address) or nearest)


def is_trusted(peer: str, trusted: Sequence[Network]) -> bool:
    """Return whether what a peer's headers say is believed; that of a Unix socket is ""."""
    address = _parse(peer)
    return address is None or _is_in(address, trusted)


def _named_by_proxies(claims: Claims) -> Sequence[str]:
    """Return what proxies say about where the request comes from, the nearest first."""
    if claims.forwarded_for is not None:
        return claims.forwarded_for.split(",")[::-1]
    return [] if claims.real_ip is None else [claims.real_ip]


@lru_cache(maxsize=1024)
def _parse(text: str | None) -> Address | None:
    bare = (text or "").strip()
    with_port = _PORT.fullmatch(bare)
    try:
        address = ip_address(bare if with_port is None else with_port[1] or with_port[2])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _name(address: Address | None) -> str:
    if address is None:
        return "local"
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _IPV6_PREFIX_BITS), strict=False))
