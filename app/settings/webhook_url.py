"""Checks the URLs of endpoints, and hides their secret parts."""

import re
from urllib.parse import SplitResult, urlsplit

from app.domains import comparable
from app.networks import ANY, PUBLIC, refusal
from app.settings.hosts import is_ip_address, is_local_host

_LABEL = r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"  # names of containers may have underscores
# A name that ends with a number would be looked up as an IPv4 address.
_NAME = re.compile(rf"(?:{_LABEL}\.)*(?!(?:[0-9]+|0x[0-9a-f]*)\Z){_LABEL}", re.ASCII)


def check_webhook_url(url: str) -> None:
    """Raise ValueError, which doesn't quote it, unless `url` can be the URL of an endpoint."""
    if not url.isprintable() or re.search(r"[\s\\]", url):
        raise ValueError("contains a space, a backslash or an unprintable character")
    parts = _split(url)
    if parts.scheme not in {"http", "https"}:
        raise ValueError("does not begin with http:// or https://")
    if "@" in parts.netloc:
        raise ValueError("contains a user name or a password")
    if "#" in url:
        raise ValueError("has a fragment (#), which is never sent")
    if not (parts.path + parts.query).isascii():
        raise ValueError("has a non-ASCII character after the host: percent-encode it")
    _check_port(parts)
    _check_host(parts)


def is_valid(url: str) -> bool:
    """Return whether `url` can be the URL of an endpoint."""
    try:
        check_webhook_url(url)
    except ValueError:
        return False
    return True


def ascii_url(url: str) -> str:
    """Return a valid `url` with its host in ASCII."""
    parts = urlsplit(url)
    host = host_of(url)
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=(f"[{host}]" if ":" in host else host) + port).geturl()


def shown_url(url: str) -> str:
    """Return `url` without its query, to be shown; an invalid one is hidden completely."""
    if not is_valid(url):  # it may contain a password
        return "***"
    beginning, question_mark, _ = url.partition("?")
    return f"{beginning}?***" if question_mark else beginning


def host_of(url: str) -> str:
    """Return the host of a valid `url`: an IP address, or a name in ASCII and lower case."""
    return comparable(urlsplit(url).hostname or "")


def is_encrypted(url: str) -> bool:
    """Return whether a valid `url` is https."""
    return urlsplit(url).scheme == "https"


def is_private(url: str) -> bool:
    """Return whether the host of a valid `url` is a private address or localhost."""
    host = host_of(url)
    return host == "localhost" if not is_ip_address(host) else refusal(host, PUBLIC) is not None


def is_local(url: str) -> bool:
    """Return whether the host of a valid `url` seems not to be on the Internet, by its form."""
    return is_local_host(host_of(url))


def _split(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        raise ValueError("is not a URL") from None  # the cause quotes it


def _check_port(parts: SplitResult) -> None:
    try:
        port = parts.port
    except ValueError:
        raise ValueError("has an impossible port") from None  # the cause quotes it
    if port == 0:
        raise ValueError("has an impossible port")


def _check_host(parts: SplitResult) -> None:
    host = comparable(parts.hostname or "")
    if not host:
        raise ValueError("has no host")
    if "%" in host or not is_ip_address(host):
        if "[" in parts.netloc or len(host) > 253 or not _NAME.fullmatch(host):
            raise ValueError("has a host that is neither a name nor an IP address")
    elif refusal(host, ANY):
        raise ValueError("has an address that GoMail never connects to")
