"""Checks rules between endpoints, and between the members of each."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from app.settings.certificates import certificate_faults
from app.settings.endpoints import WEBHOOK, endpoints_in
from app.settings.fault import Fault
from app.settings.webhook_url import is_private


def endpoint_faults(values: Mapping[str, Any], faulty: Set[str]) -> Iterator[Fault]:
    """Yield the violations of rules, except for members in `faulty`."""
    names = {} if values["webhook_url"] is None else {WEBHOOK: "of the endpoint of webhook_url"}
    for place, given in endpoints_in(values):
        sound = {
            name: value
            for name, value in given.items()
            if value is not None and f"{place}.{name}" not in faulty
        }
        if "name" in sound:
            yield from _name_taken(place, sound["name"], names)
        yield from _address_refused(place, sound)
        yield from certificate_faults(place, sound)


def _name_taken(place: str, name: str, names: dict[str, str]) -> Iterator[Fault]:
    if name in names:
        yield Fault(f"{place}.name", f'"{name}" is the name {names[name]}, too (allowed: another)')
    names.setdefault(name, f"of {place}")


def _address_refused(place: str, sound: Mapping[str, Any]) -> Iterator[Fault]:
    if sound.get("networks") == "public" and "url" in sound and is_private(sound["url"]):
        yield Fault(
            f"{place}.url",
            "names a private address, which networks: public refuses (allowed: networks: any)",
        )
