"""Tells requests of the inbox page's own forms and scripts from those of other sites (CSRF)."""


def is_same_origin(fetch_site: str | None, origin: str | None, host: str | None) -> bool:
    """Return whether a request comes from a page of the origin that it goes to.

    The arguments are the headers Sec-Fetch-Site, Origin and Host, None if absent. A browser sends
    the first of them over HTTPS and to localhost, and Origin with every form. Behind a proxy, the
    scheme of Origin says more than what this server knows, so it is not compared.
    """
    if fetch_site is not None:
        return fetch_site == "same-origin"
    scheme, _, authority = (origin or "").partition("://")
    return scheme in {"http", "https"} and bool(host) and authority.lower() == str(host).lower()
