"""Makes the library's client for the bucket."""

import os
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.store import S3Store

from app.settings import ObjectStore
from app.storage.objects.failures import ObjectStoreError

if TYPE_CHECKING:
    from obstore.store import S3Credential  # exists only there

CONNECT_SECONDS = 5
MAX_RETRIES = 2
_SHARE_OF_ONE_REQUEST = 0.9  # a request that hangs ends by itself before its caller gives up
_FIRST_PAUSE, _LONGEST_PAUSE = timedelta(milliseconds=100), timedelta(seconds=1)

_used_by: int | None = None


def bucket_and_prefix(url: str) -> tuple[str, str]:
    """Return the parts of an object_store_url; the prefix has no slash at its ends."""
    parts = urlsplit(url)
    return parts.netloc, parts.path.strip("/")


def new_client(settings: ObjectStore, timeout: float) -> S3Store:
    """Return a client for calls of at most `timeout` seconds.

    A request that fails for a reason that may pass is repeated in the first half of that time.
    Raises ObjectStoreError in a process whose parent has made one before the fork: the library's
    threads are missing there, and each request would hang.
    """
    _note_use()
    bucket, _ = bucket_and_prefix(settings.url)
    endpoint = settings.endpoint or f"https://s3.{settings.region}.amazonaws.com"
    return S3Store(
        bucket,
        # The library also reads AWS_* variables, which may be meant for another program: what
        # decides where mail goes is given here in the form that has precedence.
        aws_endpoint_url_s3=endpoint,
        region=settings.region,
        virtual_hosted_style_request=False,
        checksum_algorithm="SHA256",
        skip_signature=settings.access_key_id is None,
        # Many stores that are compatible can't delete several objects by one request.
        disable_bulk_delete=True,
        credential_provider=_Credentials(settings),
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "connect_timeout": timedelta(seconds=min(CONNECT_SECONDS, timeout)),
            "timeout": timedelta(seconds=timeout * _SHARE_OF_ONE_REQUEST),
        },
        retry_config={
            "max_retries": MAX_RETRIES,
            "retry_timeout": timedelta(seconds=timeout / 2),
            "backoff": {"init_backoff": _FIRST_PAUSE, "max_backoff": _LONGEST_PAUSE, "base": 2},
        },
    )


def _note_use() -> None:
    global _used_by  # noqa: PLW0603 -- the library's threads are one set a process
    if _used_by not in (None, os.getpid()):
        raise ObjectStoreError("it was used in a process before that was forked")
    _used_by = os.getpid()


class _Credentials:
    """Gives the library the configured key, without an AWS_SESSION_TOKEN of something else."""

    def __init__(self, settings: ObjectStore) -> None:
        self._settings = settings

    def __call__(self) -> "S3Credential":
        return {
            "access_key_id": self._settings.access_key_id or "",
            "secret_access_key": self._settings.secret_access_key or "",
            "token": None,
            "expires_at": None,
        }
