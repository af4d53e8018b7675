"""Whose bucket it is, by peer and headers."""

from ipaddress import IPv4Address, IPv6Address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.ratelimit.client import Claims, client_of

TRUSTED = tuple(map(ip_network, ("127.0.0.0/8", "::1/128", "10.0.0.0/8")))
NOTHING = Claims()
UNREADABLE = [
    *(
        "",
        " ",
        "unknown",
        "_hidden",
        "192.0.2.256",
        "192.0.2.2:",
        "192.0.2.2:port",
        "[192.0.2.2]:80",
    ),
    *("[2001:db8::1", "2001:db8::1]:443", "[]:80", "a" * 8000, "\x00", "192.0.2.2:\u0661"),
]
EVERYTHING = Claims("192.0.2.1", "192.0.2.2", "192.0.2.3")


def forwarded(*entries: str) -> Claims:
    return Claims(forwarded_for=", ".join(entries))


@pytest.mark.parametrize("peer", ["203.0.113.9", "11.0.0.1", "126.255.255.255", "128.0.0.1"])
@pytest.mark.parametrize(
    "claims", [NOTHING, EVERYTHING, forwarded("127.0.0.1"), Claims(real_ip="10.0.0.1")]
)
def test_a_stranger_is_the_client_whatever_it_says(peer: str, claims: Claims) -> None:
    """Headers from a peer outside the trusted networks are claims that cost nothing."""
    assert client_of(peer, claims, TRUSTED) == peer


@pytest.mark.parametrize("peer", ["127.0.0.1", "127.9.9.9", "10.1.2.3"])
def test_a_trusted_peer_that_names_nobody_is_the_client(peer: str) -> None:
    """Without a header there is nobody else it could be."""
    assert client_of(peer, NOTHING, TRUSTED) == peer


def test_without_trusted_networks_nobody_is_believed() -> None:
    """An empty list takes the trust from loopback as well."""
    assert client_of("127.0.0.1", EVERYTHING, ()) == "127.0.0.1"


@pytest.mark.parametrize(
    ("entries", "client"),
    [
        (["192.0.2.2"], "192.0.2.2"),
        (["192.0.2.2", "192.0.2.3"], "192.0.2.3"),
        (["192.0.2.2", "10.0.0.7"], "192.0.2.2"),
        (["192.0.2.1", "192.0.2.2", "10.0.0.7", "127.0.0.2"], "192.0.2.2"),
        (["10.0.0.6", "10.0.0.7"], "10.0.0.6"),
        (["  192.0.2.2  "], "192.0.2.2"),
        (["192.0.2.1", "2001:db8::5", "::1"], "2001:db8::/64"),
    ],
)
def test_the_rightmost_untrusted_entry_is_the_client(entries: list[str], client: str) -> None:
    """Trusted proxies on the way are passed over from the right; what a client wrote isn't read.

    Where all are trusted, the leftmost is where the request began.
    """
    assert client_of("127.0.0.1", forwarded(*entries), TRUSTED) == client


@pytest.mark.parametrize("junk", UNREADABLE)
def test_junk_hides_what_is_left_of_it(junk: str) -> None:
    """An entry that is no address is never a bucket's name, and nothing before it is believed."""
    assert client_of("127.0.0.1", forwarded("192.0.2.1", junk), TRUSTED) == "127.0.0.1"
    assert client_of("127.0.0.1", forwarded("192.0.2.1", junk, "10.0.0.7"), TRUSTED) == "10.0.0.7"
    assert client_of("127.0.0.1", forwarded(junk, "192.0.2.1"), TRUSTED) == "192.0.2.1"
    assert client_of("127.0.0.1", Claims(real_ip=junk), TRUSTED) == "127.0.0.1"
    assert client_of("127.0.0.1", Claims(original_client_address=junk), TRUSTED) == "127.0.0.1"
    assert client_of("", forwarded("192.0.2.1", junk), TRUSTED) == "local"


@pytest.mark.parametrize("junk", UNREADABLE)
def test_what_cannot_be_read_makes_no_other_header_count(junk: str) -> None:
    """The client is the proxy then: the client may have written every other header itself."""
    for entries in ([junk], ["192.0.2.1", junk], [junk, "127.0.0.1"]):
        claims = Claims("192.0.2.1", ", ".join(entries), "192.0.2.3")
        assert client_of("127.0.0.1", claims, TRUSTED) == "127.0.0.1"
    assert client_of("127.0.0.1", Claims("192.0.2.1", None, junk), TRUSTED) == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("203.0.113.9:4711", "203.0.113.9"),
        ("[2001:db8::1]:443", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("[::ffff:203.0.113.9]:443", "203.0.113.9"),
    ],
)
def test_an_address_may_have_a_port(text: str, client: str) -> None:
    """As some load balancers write it, in each of the headers, and for trusted proxies too."""
    assert client_of("127.0.0.1", forwarded("192.0.2.1", text), TRUSTED) == client
    assert client_of("127.0.0.1", forwarded(text, "10.0.0.7:80", "[::1]:80"), TRUSTED) == client
    assert client_of("127.0.0.1", Claims(real_ip=text), TRUSTED) == client
    assert client_of("127.0.0.1", Claims(original_client_address=text), TRUSTED) == client


written = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.lists(
        st.one_of(
            st.ip_addresses().map(str),
            st.ip_addresses(v=4).map(lambda address: f"{address}:80"),
            st.sampled_from(["127.0.0.1", "10.0.0.7", "::1", *UNREADABLE]),
        ),
        max_size=4,
    ).map(", ".join),
)
strangers = st.ip_addresses().filter(lambda each: not any(each in network for network in TRUSTED))


@given(
    stranger=strangers,
    by_client=st.tuples(written, written, written),
    sees=st.sampled_from(["{}", "{}:4711", "[{}]:443", "[{}]", "unknown", "unix:", ""]),
    appends=st.booleans(),
)
def test_a_client_behind_a_proxy_cannot_choose_its_bucket(
    stranger: IPv4Address | IPv6Address,
    by_client: tuple[str | None, str | None, str | None],
    sees: str,
    appends: bool,
) -> None:
    """Whatever it writes into whichever header, its bucket follows from what the proxy sees.

    The proxy appends to X-Forwarded-For, or overwrites it; everything else it passes on.
    """
    original, by_hand, real_ip = by_client
    seen = sees.format(stranger)
    forwarded_for = f"{by_hand}, {seen}" if appends and by_hand is not None else seen
    expected = client_of("127.0.0.1", Claims(forwarded_for=seen), TRUSTED)
    claims = Claims(original, forwarded_for, real_ip)
    assert client_of("127.0.0.1", claims, TRUSTED) == expected
    if "{}" not in sees:
        assert expected == "127.0.0.1"
    elif sees == "{}":
        assert expected == client_of(str(stranger), NOTHING, TRUSTED)


def test_x_real_ip_names_the_client() -> None:
    """It counts where X-Forwarded-For says nothing, and a proxy sets the latter as well."""
    assert client_of("127.0.0.1", Claims(real_ip="192.168.1.7"), TRUSTED) == "192.168.1.7"
    both = Claims(forwarded_for="192.0.2.2", real_ip="192.0.2.3")
    assert client_of("127.0.0.1", both, TRUSTED) == "192.0.2.2"


def test_the_smtp_client_is_the_client_of_a_relay() -> None:
    """A trusted relay names it, directly or through a trusted proxy."""
    smtp = Claims(original_client_address="192.0.2.1")
    assert client_of("127.0.0.1", smtp, TRUSTED) == "192.0.2.1"
    by_proxy = Claims("192.0.2.1", "10.0.0.7")
    assert client_of("127.0.0.1", by_proxy, TRUSTED) == "192.0.2.1"


@pytest.mark.parametrize("through", [forwarded("192.0.2.2"), Claims(real_ip="192.0.2.2")])
def test_a_stranger_behind_a_proxy_cannot_pose_as_a_relay(through: Claims) -> None:
    """The proxy passes X-Original-Client-Address on unseen; it is the stranger who wrote it."""
    claims = Claims("198.51.100.1", through.forwarded_for, through.real_ip)
    assert client_of("127.0.0.1", claims, TRUSTED) == "192.0.2.2"


def test_ipv6_clients_share_the_bucket_of_their_64_bits() -> None:
    """2**64 addresses of one customer are one client; the next network is another."""
    first, last = "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"
    assert client_of(first, NOTHING, TRUSTED) == client_of(last, NOTHING, TRUSTED)
    assert client_of(first, NOTHING, TRUSTED) != client_of("2001:db8:0:2::1", NOTHING, TRUSTED)
    named = Claims(real_ip=last)
    assert client_of("::1", named, TRUSTED) == client_of(first, NOTHING, TRUSTED)
    assert client_of("fe80::1%eth0", NOTHING, TRUSTED) == "fe80::/64"


def test_an_ipv4_mapped_address_is_the_ipv4_address() -> None:
    """A socket that takes both families changes neither the bucket nor the trust."""
    assert client_of("::ffff:203.0.113.9", EVERYTHING, TRUSTED) == "203.0.113.9"
    assert client_of("::ffff:127.0.0.1", Claims(real_ip="192.0.2.3"), TRUSTED) == "192.0.2.3"
    assert client_of("127.0.0.1", Claims(real_ip="::ffff:192.0.2.3"), TRUSTED) == "192.0.2.3"


def test_the_peer_of_a_unix_socket_is_trusted() -> None:
    """It has no address, and the file's mode says who may connect."""
    assert client_of("", NOTHING, TRUSTED) == "local"
    assert client_of("", Claims(real_ip="192.0.2.3"), TRUSTED) == "192.0.2.3"
    assert client_of("", forwarded("192.0.2.1", "10.0.0.7"), TRUSTED) == "192.0.2.1"
