"""Warns about settings of a database or an object store that are allowed but unwise."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.settings import database_url
from app.settings.fault import Fault
from app.settings.hosts import is_local_host
from app.settings.object_store_url import check_object_store_endpoint
from app.settings.webhook_url import host_of, is_encrypted


def storage_warnings(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the warnings; skip values that aren't valid."""
    url = values["database_url"]
    if isinstance(url, str) and database_url.is_valid(url):
        yield from _database_warnings(url)
        if values["rate_limit_url"] is None:
            yield Fault(
                "rate_limit_url", "is not set: with several hosts, a client has a limit at each"
            )
    yield from _object_store_warnings(values["object_store_endpoint"])


def _database_warnings(url: str) -> Iterator[Fault]:
    host = database_url.unencrypted_host(url)
    if host:
        better = "better: sslmode=verify-full"
        yield Fault("database_url", f"may send mail to {host} unencrypted ({better})")


def _object_store_warnings(endpoint: object) -> Iterator[Fault]:
    if not isinstance(endpoint, str):
        return
    try:
        check_object_store_endpoint(endpoint)
    except ValueError:
        return
    if not is_encrypted(endpoint) and not is_local_host(host_of(endpoint)):
        sent = f"sends mail to {host_of(endpoint)} unencrypted (better: https)"
        yield Fault("object_store_endpoint", sent)
