"""Decides which addresses requests may be sent to.

`ipaddress` isn't enough: some addresses that it calls global lead to a metadata service through a
translator or a tunnel (RFC 6052, RFC 3056, RFC 4380), and its tables change between patch releases.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_Address = IPv4Address | IPv6Address
_Table = Sequence[tuple[IPv4Network | IPv6Network, str]]

ANY, PUBLIC = "any", "public"
"""The values of an endpoint's `networks`; "public" excludes private addresses."""


def _table(rows: Mapping[str, Sequence[str]]) -> _Table:
    return [(ip_network(each), what) for what, networks in rows.items() for each in networks]


_NEVER = _table(
    {
        "a link-local address": ["169.254.0.0/16", "fe80::/10"],
        "the address of a metadata service": [
            *("168.63.129.16/32", "fd00:ec2::/32", "fd20:ce::254/128"),  # Azure, Amazon, Google
            *("192.0.0.192/32", "fd00:c1::a9fe:a9fe/128"),  # Oracle
            *("100.100.100.200/32", "fd00:42::42/128"),  # Alibaba, Scaleway
        ],
        "a multicast address": ["224.0.0.0/4", "ff00::/8"],
        "an unspecified address": ["0.0.0.0/8", "::/128"],
        # The last one is for local translators (RFC 8215): their targets are unknown.
        "a reserved address": ["192.0.0.0/24", "192.88.99.0/24", "240.0.0.0/4", "64:ff9b:1::/48"],
    }
)
_PRIVATE = _table(
    {
        "a loopback address": ["127.0.0.0/8", "::1/128"],
        "a private address": [
            *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "fec0::/10"),
            "100.64.0.0/10",  # between a provider and its customers (RFC 6598)
        ],
        "an address for documentation or tests": [
            *("192.0.2.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("2001:2::/48", "2001:db8::/32", "3fff::/20"),
        ],
    }
)
_ASSIGNED = ip_network("2000::/3")
_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")


@lru_cache(maxsize=1024)  # asked for each request
def refusal(text: str, networks: str) -> str | None:
    """Return the kind of a refused address, such as "a link-local address"; None if allowed.

    `networks` is the endpoint's setting. An address that embeds others (IPv4-mapped, NAT64, 6to4,
    Teredo) is refused if one of those is.
    """
    address = ip_address(text.partition("%")[0])
    found = (_refusal(each, networks) for each in _meant(address))
    return next(filter(None, found), None)


def _refusal(address: _Address, networks: str) -> str | None:
    never, private = _look_up(address, _NEVER), _look_up(address, _PRIVATE)
    if never is None and private is None and address.version == 6 and address not in _ASSIGNED:
        never = "a reserved address"
    return never or (private if networks == PUBLIC else None)


def _look_up(address: _Address, table: _Table) -> str | None:
    return next((what for network, what in table if address in network), None)


def _meant(address: _Address) -> Iterator[_Address]:
    if isinstance(address, IPv6Address):
        carried: list[_Address] = list(_carried(address))
        yield from carried or [address]
    else:
        yield address


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    if address.ipv4_mapped is not None:
        yield address.ipv4_mapped
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        yield IPv4Address(address.packed[-4:])
