"""Checks the URLs of the bucket and of the object store, and hides what may be secret in them."""

import re
from urllib.parse import urlsplit

from app.settings.webhook_url import check_webhook_url

_SCHEME = "s3://"
_BUCKET = re.compile(r"(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_.=-]+)*/?", re.ASCII)


def check_object_store_url(url: str) -> None:
    """Raise ValueError, which doesn't quote it, unless `url` names a bucket."""
    if not url.startswith(_SCHEME):
        raise ValueError("does not begin with s3://")
    bucket, slash, prefix = url.removeprefix(_SCHEME).partition("/")
    if "@" in bucket:
        raise ValueError("contains a user name or a password")
    if not _BUCKET.fullmatch(bucket):
        raise ValueError("does not name a bucket")
    if not _PREFIX.fullmatch(slash + prefix) or {".", ".."} & set(prefix.split("/")):
        raise ValueError("has a prefix with other characters than letters, digits and ._=-/")


def check_object_store_endpoint(url: str) -> None:
    """Raise ValueError, which doesn't quote it, unless `url` can be that of an object store."""
    check_webhook_url(url)
    parts = urlsplit(url)
    if parts.path not in {"", "/"} or parts.query:
        raise ValueError("has a path or a query")


def shown_object_store_url(url: str) -> str:
    """Return `url` to be shown; an invalid one, which may contain a password, is hidden."""
    try:
        check_object_store_url(url)
    except ValueError:
        return "***"
    return url
