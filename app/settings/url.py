"""The URL of the API port, as seen by clients on this host."""

from app.settings import Server

_LOOPBACK_OF_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- never bound here


def address(host: str, port: int) -> str:
    """Return `host:port` as in a URL (RFC 3986 section 3.2.2)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def local_host(server: Server) -> str:
    """Return the host under which the server can be reached from this one."""
    return _LOOPBACK_OF_ANY.get(server.host, server.host)


def base_url(server: Server) -> str:
    """Return the URL under which the server can be reached from this host, without a path."""
    return f"http://{address(local_host(server), server.port)}"
