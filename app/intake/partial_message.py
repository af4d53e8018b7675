"""What is known of a message while it comes in: if it is refused, its line in the log tells."""

from dataclasses import dataclass

from app.address import MAX_ADDRESS_CHARACTERS
from app.intake.envelope import PartialEnvelope
from app.intake.headers import Head

NO_HEAD = Head()


@dataclass(slots=True)
class PartialMessage:
    """Filled by each step of the way in; nothing of it is checked yet.

    `envelope` is what the request says of the envelope, `size` the bytes of the message so far.
    """

    envelope: PartialEnvelope
    head: Head = NO_HEAD
    size: int = 0

    @property
    def sender(self) -> str | None:
        """The sender as it was given, else the first usable address in From."""
        given = self.envelope.given_sender
        return _bounded(self.head.sender if given is None else given)

    @property
    def recipient(self) -> str | None:
        """The recipient as it was given, else the first usable address in To."""
        given = self.envelope.recipient
        return _bounded(self.head.recipient if given is None else given)

    @property
    def queue_id(self) -> str | None:
        """The relay's name for the message."""
        return _bounded(self.envelope.queue_id)


def _bounded(text: str | None) -> str | None:
    return text and text[:MAX_ADDRESS_CHARACTERS]
