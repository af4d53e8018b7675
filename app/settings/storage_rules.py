"""Checks rules between the settings of a database or an object store and others."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from app.settings.endpoints import endpoints_in
from app.settings.fault import Fault

_OF_OBJECT_STORE = (
    "object_store_endpoint",
    "object_store_access_key_id",
    "object_store_secret_access_key",
)
_ACCESS_KEY = ("object_store_access_key_id", "object_store_secret_access_key")
_TOKENS = ("bearer_token", "api_token")


def storage_faults(values: Mapping[str, Any], faulty: Set[str]) -> Iterator[Fault]:
    """Yield the violations of rules, except for keys in `faulty`."""
    if "object_store_url" not in faulty:
        yield from _without_database(values)
        yield from _without_bucket(values, faulty)
    if not faulty & set(_ACCESS_KEY):
        yield from _half_an_access_key(values)
    if values["database_url"] is not None:
        yield from _generated(values, faulty)


def _without_database(values: Mapping[str, Any]) -> Iterator[Fault]:
    if values["object_store_url"] and values["database_url"] is None:
        yield Fault("object_store_url", "is set without database_url (allowed: with database_url)")


def _without_bucket(values: Mapping[str, Any], faulty: Set[str]) -> Iterator[Fault]:
    if values["object_store_url"] is not None:
        return
    for key in _OF_OBJECT_STORE:
        if values[key] is not None and key not in faulty:
            yield Fault(key, "is set without object_store_url (allowed: with object_store_url)")


def _half_an_access_key(values: Mapping[str, Any]) -> Iterator[Fault]:
    missing = [key for key in _ACCESS_KEY if values[key] is None]
    if len(missing) == 1:
        [other] = set(_ACCESS_KEY) - set(missing)
        yield Fault(missing[0], f"is missing, and {other} is set (allowed: both or neither)")


def _generated(values: Mapping[str, Any], faulty: Set[str]) -> Iterator[Fault]:
    """Yield a fault for each secret that every host would generate another one of."""
    for key in _TOKENS:
        if not values[key] and key not in faulty:
            yield _missing(key, "a token, the same on all hosts")
    limits = "a secret, the same on all hosts"
    if values["webhook_url"] and not values["webhook_secret"] and "webhook_secret" not in faulty:
        yield _missing("webhook_secret", limits)
    for place, given in endpoints_in(values):
        if not given.get("secret_file") and f"{place}.secret_file" not in faulty:
            yield _missing(f"{place}.secret_file", f"a file with {limits}")


def _missing(key: str, limits: str) -> Fault:
    return Fault(key, f"is missing, which it may not with database_url (allowed: {limits})")
