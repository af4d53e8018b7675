"""Checks the URL of the database, and tells what it says about the connection."""

import re
from collections.abc import Iterator, Mapping

from app.domains import comparable
from app.settings.hosts import is_local_host

_SCHEMES = ("postgresql://", "postgres://")
# GoMail would overrule these.
_FROM_STORAGE_TIMEOUT = ("connect_timeout", "tcp_user_timeout")
_WITHOUT_WRITES = frozenset(("read-only", "standby", "prefer-standby"))
_NEVER_UNENCRYPTED = frozenset(("require", "verify-ca", "verify-full"))
# How libpq's messages begin; what follows quotes the URL.
_PROBLEMS: Mapping[str, str] = {
    "invalid URI query parameter": "has a parameter that libpq doesn't know",
    "invalid percent-encoded": "has a % that isn't followed by two hexadecimal digits",
    "unexpected spaces": "contains a space (write %20)",
    "forbidden value": "contains %00",
    "missing key/value separator": "has a parameter without =",
    "extra key/value separator": "has a parameter with more than one =",
}


def check_database_url(url: str) -> None:
    """Raise ValueError, which doesn't quote it, unless GoMail can connect with `url`."""
    if not url.startswith(_SCHEMES):
        raise ValueError("does not begin with postgresql:// or postgres://")
    if not url.isprintable():
        raise ValueError("contains an unprintable character")
    parameters = _parsed(url)
    if any("@" in host.removeprefix("@") for host, _ in _servers(parameters)):
        raise ValueError("has an @ in a host; an @ in a password has to be written as %40")
    _check_ports(parameters)
    for name in _FROM_STORAGE_TIMEOUT:
        if name in parameters:
            raise ValueError(f"sets {name}, which storage_timeout does")
    if parameters.get("client_encoding", "UTF8").upper() not in {"UTF8", "UTF-8"}:
        raise ValueError("sets another client_encoding than UTF8")
    if parameters.get("target_session_attrs") in _WITHOUT_WRITES:
        raise ValueError("asks for a server that can't be written to (target_session_attrs)")


def is_valid(url: str) -> bool:
    """Return whether GoMail can connect with `url`."""
    try:
        check_database_url(url)
    except ValueError:
        return False
    return True


def unencrypted_host(url: str) -> str | None:
    """Return a host of a valid `url` that may be reached unencrypted over the Internet, if any."""
    parameters = _parsed(url)
    if parameters.get("sslmode") in _NEVER_UNENCRYPTED:
        return None
    hosts = (host for host, _ in _servers(parameters) if not host.startswith(("/", "@")))
    return next((host for host in hosts if not is_local_host(comparable(host))), None)


def _parsed(url: str) -> dict[str, str]:
    from psycopg import ProgrammingError  # noqa: PLC0415 - takes long, and few commands need it
    from psycopg.conninfo import conninfo_to_dict  # noqa: PLC0415

    try:
        return {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except ProgrammingError as error:
        raise ValueError(_problem(str(error))) from None  # the cause quotes it


def _problem(message: str) -> str:
    known = (problem for start, problem in _PROBLEMS.items() if message.startswith(start))
    return next(known, "is not a URI that libpq can read")


def _check_ports(parameters: Mapping[str, str]) -> None:
    for _, port in _servers(parameters):
        if port and not (re.fullmatch(r"[0-9]{1,5}", port, re.ASCII) and 0 < int(port) < 65536):
            raise ValueError("has an impossible port; a / in a password has to be written as %2F")


def _servers(parameters: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield host and port of each server; libpq's defaults, a local socket and 5432, are empty."""
    hosts = (parameters.get("host") or parameters.get("hostaddr") or "").split(",")
    ports = parameters.get("port", "").split(",")
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise ValueError("has more or fewer ports than hosts")
    yield from zip(hosts, ports, strict=True)
