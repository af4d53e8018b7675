"""The settings of the inbox page."""

import pytest
from support.endpoint_settings import NOTHING

from app.settings import inspect, load


@pytest.mark.parametrize(
    "host", ["mail.example.com", "192.0.2.7", "2001:db8::5", "büro.example", "localhost"]
)
def test_hosts_are_names_and_addresses(host: str) -> None:
    """In a list, or in a variable."""
    assert load({"allowed_hosts": [host]}, {}, NOTHING).inbox.allowed_hosts == (host,)
    environ = {"MAIL_ALLOWED_HOSTS": f"{host},other.example"}
    assert load({}, environ, NOTHING).inbox.allowed_hosts == (host, "other.example")


@pytest.mark.parametrize(
    "host", ["mail.example.com:3000", "https://mail.example.com", "*.example.com", "[::1]", ""]
)
def test_anything_else_is_a_fault_that_says_what_is_allowed(host: str) -> None:
    """With a port, people may think, other ports would be refused."""
    [fault] = inspect({"allowed_hosts": [host]}, {}, NOTHING).errors
    assert str(fault).startswith("allowed_hosts: item 1: ")
    assert str(fault).endswith("(allowed: an IP address or a host name, such as mail.example.com)")
