"""The URLs that messages can be sent to."""

from pathlib import Path

import pytest
from support.endpoint_settings import (
    SUPPORT,
    URL,
    URL_LIMITS,
    configured,
    endpoints,
    faults,
    warning_lines,
)

from app.settings import inspect

URLS = [
    ("app.example.com/hook", "does not begin with http:// or https://"),
    ("ftp://app.example.com/", "does not begin with http:// or https://"),
    ("//app.example.com/", "does not begin with http:// or https://"),
    ("javascript:alert(1)", "does not begin with http:// or https://"),
    ("", "does not begin with http:// or https://"),
    ("https://", "has no host"),
    ("https:///hook", "has no host"),
    ("http:app.example.com", "has no host"),
    ("https://user:Pl4nted@app.example.com/", "contains a user name or a password"),
    ("https://Pl4nted@app.example.com/", "contains a user name or a password"),
    ("https://user:Pl4nted/x@app.example.com/", "has an impossible port"),
    ("https://app.example.com/#Pl4nted", "has a fragment (#), which is never sent"),
    ("https://app.example.com/#", "has a fragment (#), which is never sent"),
    ("https://app.example.com:0/", "has an impossible port"),
    ("https://app.example.com:65536/", "has an impossible port"),
    ("https://app.example.com:http/", "has an impossible port"),
    ("https://[::1/", "is not a URL"),
    ("https://[v1.x]/", "has a host that is neither a name nor an IP address"),
    ("https://app..example.com/", "has a host that is neither a name nor an IP address"),
    ("https://-app.example.com/", "has a host that is neither a name nor an IP address"),
    ("https://*.example.com/", "has a host that is neither a name nor an IP address"),
    ("https://127.1/", "has a host that is neither a name nor an IP address"),
    ("https://2130706433/", "has a host that is neither a name nor an IP address"),
    ("https://0x7f.0x1/", "has a host that is neither a name nor an IP address"),
    (f"https://{'a.' * 127}example/", "has a host that is neither a name nor an IP address"),
    ("https://app.example.com/a b", "contains a space, a backslash or an unprintable character"),
    ("https://app.example.com/\n", "contains a space, a backslash or an unprintable character"),
    ("https://app.example.com\\@x/", "contains a space, a backslash or an unprintable character"),
    ("https://app.example.com/ä", "has a non-ASCII character after the host"),
    ("https://0.0.0.0/", "has an address that GoMail never connects to"),
    ("https://[::]:8080/", "has an address that GoMail never connects to"),
    ("http://169.254.169.254/latest", "has an address that GoMail never connects to"),
    ("http://[::ffff:169.254.169.254]/", "has an address that GoMail never connects to"),
    ("http://[fe80::1]/", "has an address that GoMail never connects to"),
    ("http://224.0.0.1/", "has an address that GoMail never connects to"),
    ("http://100.100.100.200/", "has an address that GoMail never connects to"),
    ("http://[fd00:ec2::254]/", "has an address that GoMail never connects to"),
    ("http://240.0.0.1/", "has an address that GoMail never connects to"),
    ("http://[64:ff9b::a9fe:a9fe]/", "has an address that GoMail never connects to"),
]


@pytest.mark.parametrize(("url", "problem"), URLS)
def test_what_cannot_be_sent_to_is_refused_unseen(tmp_path: Path, url: str, problem: str) -> None:
    """For both keys alike, and the URL, which may hold a password, is not shown."""
    config = configured(tmp_path, webhook_url=url, endpoints=[SUPPORT | {"url": url}])
    inspection = inspect(None, {}, config)
    first, second = map(str, inspection.errors)
    assert first.startswith(f"webhook_url: {problem}")
    assert second.startswith(f"endpoints[0].url: {problem}")
    assert first.endswith(URL_LIMITS)
    assert (inspection.values["webhook_url"], inspection.values["endpoints"][0]["url"]) == (
        "***",
        "***",
    )
    assert "Pl4nted" not in f"{inspection}{inspection.values}{first}{second}"


def test_a_url_has_a_bound(tmp_path: Path) -> None:
    """Nobody's URL is longer; a file that was pasted there is."""
    longest = f"{URL}?{'x' * (2047 - len(URL))}"
    assert endpoints(tmp_path, SUPPORT | {"url": longest})[0].url == longest
    [fault] = faults(tmp_path, SUPPORT | {"url": f"{longest}x"})
    assert fault == f"endpoints[0].url: is longer than 2048 characters {URL_LIMITS}"


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost:8080", "[::1]", "10.1.2.3", "192.168.0.1", "[fd00::1]"),
        *("app", "my_app:8080", "app.local", "app.internal", "nas.lan", "x.home.arpa", "a.test"),
    ],
)
def test_http_within_a_network_is_fine(tmp_path: Path, host: str) -> None:
    """Containers on one host, and machines of one network, need no certificates."""
    assert warning_lines(tmp_path, webhook_url=f"http://{host}/hook") == []


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("app.example.com", "app.example.com"),
        ("8.8.8.8:8080", "8.8.8.8"),
        ("[2606:4700::1]", "2606:4700::1"),
        ("app.localhost.example", "app.localhost.example"),
        ("Bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_http_over_the_internet_is_a_warning(tmp_path: Path, host: str, shown: str) -> None:
    """Mail would be readable for everyone on the way; https is fine."""
    url = f"http://{host}/hook?token=Pl4nted"
    lines = warning_lines(tmp_path, webhook_url=url, endpoints=[SUPPORT | {"url": url}])
    problem = f"sends mail to {shown} unencrypted (better: https)"
    assert lines == [f"webhook_url: {problem}", f"endpoints[0].url: {problem}"]
    assert warning_lines(tmp_path, webhook_url=url.replace("http:", "https:")) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "10.0.0.1", "[::1]", "localhost", "100.64.0.1"])
def test_an_address_that_networks_refuses_is_a_fault(tmp_path: Path, host: str) -> None:
    """Every delivery would die."""
    [fault] = faults(tmp_path, {"name": "a", "url": f"http://{host}/", "networks": "public"})
    assert fault == (
        "endpoints[0].url: names a private address, which networks: public refuses"
        " (allowed: networks: any)"
    )
    assert faults(tmp_path, {"name": "a", "url": "http://8.8.8.8/", "networks": "public"}) == []
