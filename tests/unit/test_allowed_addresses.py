"""Requests never go to metadata services, and with `networks: public` to nothing private."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.networks import refusal

NEVER = [
    *("169.254.169.254", "169.254.0.1", "168.63.129.16", "100.100.100.200", "192.0.0.192"),
    *("224.0.0.1", "239.255.255.255", "0.0.0.0", "0.1.2.3", "240.0.0.1", "255.255.255.255"),
    "192.0.0.8",
]
PRIVATE = [
    *("127.0.0.1", "127.255.0.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    *("100.64.0.1", "100.127.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1"),
]
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "169.253.0.1", "223.255.255.255"]
NEVER_6 = [
    *("::", "fe80::1", "fe80::1%eth0", "febf::1", "ff02::1", "fd00:ec2::254", "fd00:ec2::23"),
    *("fd20:ce::254", "fd00:c1::a9fe:a9fe", "fd00:42::42", "64:ff9b:1::1", "100::1", "200::1"),
    *("4000::1", "::ffff:0:1.2.3.4", "5f00::1"),
]
PRIVATE_6 = ["::1", "fc00::1", "fd12:3456::1", "fec0::1", "2001:db8::1", "3fff::1", "2001:2::1"]
PUBLIC_6 = ["2606:4700::1111", "2a00::1", "2001:4860:4860::8888"]


def forms(address: str) -> list[str]:
    """Return the IPv6 addresses that stand for an IPv4 one, or lead to it."""
    number = int(IPv4Address(address))
    six_to_four, client = number << 80, number ^ 0xFFFFFFFF
    return [
        f"::ffff:{address}",
        f"64:ff9b::{address}",
        str(IPv6Address(number)),
        str(IPv6Address((0x2002 << 112) | six_to_four | 1)),
        str(IPv6Address((0x20010000 << 96) | (int(IPv4Address("8.8.8.8")) << 64) | client)),
        str(IPv6Address((0x20010000 << 96) | (number << 64) | (0x08080808 ^ 0xFFFFFFFF))),
    ]


@pytest.mark.parametrize("address", NEVER_6 + [each for ip in NEVER for each in (ip, *forms(ip))])
def test_some_are_refused_always(address: str) -> None:
    """Link-local ones, metadata services, multicast, unspecified and reserved, in every form."""
    assert refusal(address, "any")
    assert refusal(address, "public")


@pytest.mark.parametrize(
    "address", PRIVATE_6 + [each for ip in PRIVATE for each in (ip, *forms(ip))]
)
def test_private_ones_are_for_installations_that_allow_them(address: str) -> None:
    """Such as an application on the same host; `public` refuses them, in every form."""
    assert refusal(address, "any") is None
    assert refusal(address, "public")


@pytest.mark.parametrize("address", PUBLIC_6 + [each for ip in PUBLIC for each in (ip, *forms(ip))])
def test_public_ones_are_not_refused(address: str) -> None:
    """Nor are those by which an IPv6-only host reaches a public IPv4 address."""
    assert refusal(address, "any") is None
    assert refusal(address, "public") is None


@given(st.ip_addresses().map(str))
def test_public_allows_nothing_that_any_refuses(address: str) -> None:
    """Every address is judged, and `public` is the stricter one."""
    if refusal(address, "any"):
        assert refusal(address, "public")


@given(st.ip_addresses(v=6, network="2000::/3") | st.ip_addresses(v=4))
def test_what_python_calls_private_is_not_public(address: IPv4Address | IPv6Address) -> None:
    """Its own table, where it has one, allows nothing that ours refuses to see as private."""
    if address.is_private and not str(address).startswith("2001:"):
        assert refusal(str(address), "public")


def test_a_refusal_says_what_the_address_is() -> None:
    """For the one who reads why nothing was delivered."""
    assert refusal("169.254.169.254", "any") == "a link-local address"
    assert refusal("::ffff:127.0.0.1", "public") == "a loopback address"
