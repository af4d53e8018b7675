"""Finds the client whose bucket a request takes its token from.

The client is the peer. A trusted proxy may name another one, since behind Postfix or a load
balancer every request comes from one address. From anyone else a forwarding header proves nothing
and is ignored (RFC 7239 section 8.1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# A client with a /64 of IPv6 has 2**64 addresses; they share a bucket.
_IPV6_PREFIX_BITS = 64


@dataclass(frozen=True)
class Claims:
    """What the headers of a request say about its client; None for a header that is absent."""

    original_client_address: str | None = None
    forwarded_for: str | None = None
    real_ip: str | None = None


def client_of(peer: str, claims: Claims, trusted: Sequence[Network]) -> str:
    """Return the name of the client's bucket: an IPv4 address, or an IPv6 network of 64 bits.

    `peer` is the address that the connection comes from, "" for a Unix socket, whose peer is
    trusted. A header whose value is not an address is ignored.
    """
    address = _parse(peer)
    if address is not None and not _is_in(address, trusted):
        return _name(address)
    forwarded = _rightmost_untrusted(claims.forwarded_for, trusted) or _parse(claims.real_ip)
    if forwarded is not None and not _is_in(forwarded, trusted):
        return _name(forwarded)  # a client behind a proxy is trusted no more than a direct one
    return _name(_parse(claims.original_client_address) or forwarded or address) or "local"


def _rightmost_untrusted(forwarded_for: str | None, trusted: Sequence[Network]) -> Address | None:
    nearest = None
    for entry in reversed((forwarded_for or "").split(",")):
        address = _parse(entry)
        if address is None:
            break  # what is to the left of an unreadable entry can't be trusted
        nearest = address
        if not _is_in(address, trusted):
            break
    return nearest


@lru_cache(maxsize=1024)
def _parse(text: str | None) -> Address | None:
    try:
        address = ip_address((text or "").strip())
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_in(address: Address, networks: Sequence[Network]) -> bool:
    return any(address in network for network in networks)


def _name(address: Address | None) -> str:
    if address is None:
        return ""
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _IPV6_PREFIX_BITS), strict=False))
