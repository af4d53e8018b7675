"""Whether the browser uses HTTPS, which the server itself doesn't."""

from flask import request

from app.ratelimit.client import is_trusted
from app.web.request_context import current_services


def is_https() -> bool:
    """Return whether the request was sent over HTTPS, as the browser or a trusted proxy says."""
    if request.headers.get("Origin", "").startswith("https://"):
        return True
    peer = request.environ.get("REMOTE_ADDR", "")
    proxies = current_services().trusted_proxies
    return is_trusted(peer, proxies) and request.headers.get("X-Forwarded-Proto") == "https"
