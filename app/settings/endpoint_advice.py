"""Warns about endpoints that are allowed but unwise."""

from collections.abc import Iterator, Mapping
from typing import Any

from app.domains import comparable, domain_of
from app.settings.endpoints import endpoints_in
from app.settings.fault import Fault
from app.settings.webhook_url import host_of, is_encrypted, is_local, is_valid


def endpoint_warnings(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the warnings for all endpoints; skip values that aren't valid."""
    yield from _in_the_clear("webhook_url", values["webhook_url"])
    for place, given in endpoints_in(values):
        yield from _in_the_clear(f"{place}.url", given.get("url"))
        yield from _never_received(place, given.get("recipients"), values)


def _in_the_clear(key: str, url: object) -> Iterator[Fault]:
    if isinstance(url, str) and is_valid(url) and not is_encrypted(url) and not is_local(url):
        yield Fault(key, f"sends mail to {host_of(url)} unencrypted (better: https)")


def _never_received(place: str, patterns: object, values: Mapping[str, Any]) -> Iterator[Fault]:
    allowed = values["allowed_recipient_domains"]
    if not isinstance(patterns, list) or not isinstance(allowed, list) or not allowed:
        return
    domains = {comparable(domain) for domain in allowed if isinstance(domain, str)}
    for index, pattern in enumerate(patterns):
        if isinstance(pattern, str) and "@" in pattern and domain_of(pattern) not in domains:
            yield Fault(
                f"{place}.recipients[{index}]",
                f"{domain_of(pattern)} is not in allowed_recipient_domains, so it gets no new mail",
            )
