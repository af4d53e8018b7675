"""Finds the endpoints of a message: those with a pattern that matches its recipient.

A pattern is an address (`a@b`), a prefix of a local part (`a+*@b`), a domain (`*@b`), or `*`.
"""

from collections import defaultdict
from collections.abc import Sequence

from app.domains import comparable_address
from app.settings import Endpoint

Places = set[int]
"""Positions of endpoints in the configuration."""


class Routes:
    """Finds the endpoints of a recipient, as fast for hundreds of endpoints as for one."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        """Compare addresses with app.domains.comparable_address."""
        self._names = [endpoint.name for endpoint in endpoints]
        self._everything: Places = set()
        self._addresses: dict[str, Places] = defaultdict(set)
        self._domains: dict[str, _Beginnings] = defaultdict(_Beginnings)
        for place, endpoint in enumerate(endpoints):
            for pattern in endpoint.recipients:
                self._add(pattern, place)

    def names_for(self, recipient: str) -> tuple[str, ...]:
        """Return the names of the endpoints that `recipient` matches, in the configured order."""
        address = comparable_address(recipient)
        local_part, _, domain = address.rpartition("@")
        places = self._everything | self._addresses.get(address, set())
        beginnings = self._domains.get(domain)
        if beginnings is not None:
            places |= beginnings.of(local_part)
        return tuple(self._names[place] for place in sorted(places))

    def _add(self, pattern: str, place: int) -> None:
        address = comparable_address(pattern)
        local_part, _, domain = address.rpartition("@")
        if pattern == "*":
            self._everything.add(place)
        elif local_part.endswith("*"):
            self._domains[domain].add(local_part.removesuffix("*"), place)
        else:
            self._addresses[address].add(place)


class _Beginnings:
    """The patterns of one domain, by the prefix of the local part; "" matches all."""

    def __init__(self) -> None:
        self._places: dict[str, Places] = defaultdict(set)
        self._lengths: set[int] = set()

    def add(self, beginning: str, place: int) -> None:
        self._places[beginning].add(place)
        self._lengths.add(len(beginning))

    def of(self, local_part: str) -> Places:
        # One look-up for each length: there are few lengths, but perhaps hundreds of prefixes.
        found = (self._places.get(local_part[:length], set()) for length in self._lengths)
        return set().union(*found)
