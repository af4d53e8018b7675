"""Header fields as bytes, as the client has sent them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def header_bytes(environ: "WSGIEnvironment", name: str) -> bytes | None:
    """Return the field whose WSGI name is `name`, such as HTTP_AUTHORIZATION; None without it."""
    value: str | None = environ.get(name)
    return None if value is None else value.encode("latin-1")  # as WSGI has decoded it (PEP 3333)
