"""What can be wrong with a configuration."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """One fault of one key; `message` never contains the value of a secret.

    `key` may be the path of a member in a list of mappings, such as `endpoints[1].timeout`.
    """

    key: str
    message: str

    @property
    def setting(self) -> str:
        """The key of the setting that contains the fault."""
        return self.key.partition("[")[0]

    def __str__(self) -> str:
        return f"{self.key}: {self.message}"


class InvalidSettings(Exception):
    """The configuration can't be used; `faults` holds every reason, not only the first."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class UnreadableDocument(Exception):
    """The text is not a configuration; the message never quotes from it."""
