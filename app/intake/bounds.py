"""How long the texts of an envelope may be: each is kept in a row, and shown in listings."""

from collections.abc import Mapping

from app.address import MAX_ADDRESS_CHARACTERS
from app.errors import BadRequest, FieldFault
from app.intake.envelope import PartialEnvelope

MAX_CHARACTERS: Mapping[str, int] = {
    "sender": 2 * MAX_ADDRESS_CHARACTERS,  # above that, not even worth looking for an address
    "recipient": 2 * MAX_ADDRESS_CHARACTERS,
    "mail_from": MAX_ADDRESS_CHARACTERS + 2,  # with angle brackets
    "queue_id": 255,
    "client_address": 255,
    "client_hostname": 1024,
    "client_helo": 1024,
}
"""Each text of an envelope; far more than SMTP allows (RFC 5321 section 4.5.3.1)."""


def check_bounds(given: PartialEnvelope) -> None:
    """Raise BadRequest when a text of the envelope is longer than MAX_CHARACTERS allows."""
    texts = {
        "sender": given.sender,
        "recipient": given.recipient,
        "mail_from": given.mail_from,
        "queue_id": given.queue_id,
        "client_address": given.connection.client_address,
        "client_hostname": given.connection.client_hostname,
        "client_helo": given.connection.helo,
    }
    faults = [
        FieldFault(name, f"Is longer than {MAX_CHARACTERS[name]} characters.")
        for name, text in texts.items()
        if text is not None and len(text) > MAX_CHARACTERS[name]
    ]
    if faults:
        raise BadRequest("The envelope is too long.", faults)
