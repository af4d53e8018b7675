"""Checks of single values that JSON Schema can't express: the `format`s of the schema.

Each raises ValueError, which says what is wrong without quoting the value.
"""

import re
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from jsonschema import FormatChecker

from app.address import is_address
from app.domains import comparable
from app.settings.database_url import check_database_url
from app.settings.files import from_home, real_path
from app.settings.object_store_url import check_object_store_endpoint, check_object_store_url
from app.settings.webhook_secret import check_webhook_secret
from app.settings.webhook_url import check_webhook_url

_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)*(?![0-9]+\.?\Z){_LABEL}\.?", re.ASCII | re.IGNORECASE)
# fmt: off
_WEAK_TOKENS = frozenset((
    "12345678", "123456789", "1234567890", "87654321", "abcdefgh", "abcd1234", "admin123",
    "administrator", "bearertoken", "changeit", "changeme", "changeme123", "iloveyou",
    "letmein1", "passw0rd", "password", "password1", "password123", "qwertyui", "qwertyuiop",
    "secret123", "secretsecret", "test1234", "testtest", "tokentoken",
))
_SYSTEM_DIRECTORIES = frozenset((
    "", "home", "opt", "root", "run", "tmp", "var", "var/cache", "var/lib", "var/log",
    "var/mail", "var/run", "var/spool", "var/tmp",
))
_SYSTEM_TREES = frozenset((
    "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "sys",
    "usr",
))
# fmt: on


def check_token(token: str) -> None:
    """Refuse a token that can't be sent in a header or would be guessed first."""
    if not token.isprintable() or " " in token:
        raise ValueError("contains a space or an unprintable character")
    # A shorter token is reported by the schema's minLength.
    if len(token) >= 8 and (token.lower() in _WEAK_TOKENS or len(set(token)) == 1):
        raise ValueError("is a well-known weak token")


def check_data_directory(path: str) -> None:
    """Refuse directories that belong to the system."""
    if from_home(path).startswith("~"):
        raise ValueError("begins with ~ and a user who has no home directory")
    try:
        real = real_path(path)
    except (OSError, ValueError) as error:
        raise ValueError("is not a usable path") from error
    if str(real)[1:] in _SYSTEM_DIRECTORIES or real.parts[1] in _SYSTEM_TREES:
        raise ValueError("is a system directory")


def check_domain(name: str) -> None:
    """Refuse what isn't a domain name (RFC 1123 section 2.1), in either form of IDNA 2008."""
    if len(comparable(name)) > 254 or not _DOMAIN.fullmatch(comparable(name)):
        raise ValueError("is not a domain name")


def check_host(host: str) -> None:
    """Refuse what is neither an IP address nor a host name."""
    try:
        ip_address(host)
    except ValueError:
        check_domain(host)


def check_network(network: str) -> None:
    """Refuse what is neither an IP address nor a network with all host bits zero."""
    try:
        meant = ip_network(network, strict=False)
    except ValueError as error:
        raise ValueError("is not an IP address or network") from error
    try:
        ip_network(network)
    except ValueError as error:
        raise ValueError(f"has host bits set; did you mean {meant}?") from error


def check_redis_url(url: str) -> None:
    """Refuse what doesn't name a Redis or Valkey server."""
    parts = urlsplit(url)
    if parts.scheme not in {"redis", "rediss", "valkey", "valkeys"} or not parts.hostname:
        raise ValueError("is not the URL of a Redis or Valkey server")
    if not re.fullmatch(r"/?[0-9]*", parts.path) or (parts.port or 1) < 1:
        raise ValueError("has an impossible port or database")


def check_path(path: str) -> None:
    """Refuse what can't be the path of a URL."""
    if not re.fullmatch(r"/[!-~]*", path) or set("?#") & set(path):
        raise ValueError("is not a valid path")


def check_endpoint_name(name: str) -> None:
    """Refuse a name that isn't safe as a metric label and a file name."""
    if not re.fullmatch(r"[a-z0-9-]{1,63}", name):
        raise ValueError("is not a name of lower-case letters, digits and hyphens")


def check_recipients(pattern: str) -> None:
    """Refuse a pattern that no recipient can match."""
    if pattern.count("*") > 1:
        raise ValueError("has more than one star")
    local_part, at, domain = pattern.rpartition("@")
    if "*" in domain and at:
        raise ValueError("has a star in its domain")
    if "*" in local_part[:-1]:
        raise ValueError("has a star before the end of its local part")
    if pattern != "*" and not is_address(pattern.replace("*", "x")):
        raise ValueError("is not the address of a recipient")


CHECKER = FormatChecker(formats=())


def _register(name: str, check: Callable[[str], None]) -> None:
    def passes(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    CHECKER.checks(name, raises=ValueError)(passes)


_register("gomail-token", check_token)
_register("gomail-data-directory", check_data_directory)
_register("gomail-database-url", check_database_url)
_register("gomail-object-store-url", check_object_store_url)
_register("gomail-object-store-endpoint", check_object_store_endpoint)
_register("gomail-domain", check_domain)
_register("gomail-host", check_host)
_register("gomail-network", check_network)
_register("gomail-path", check_path)
_register("gomail-redis-url", check_redis_url)
_register("gomail-endpoint-name", check_endpoint_name)
_register("gomail-recipients", check_recipients)
_register("gomail-webhook-secret", check_webhook_secret)
_register("gomail-webhook-url", check_webhook_url)
