"""Who a message is from and for: from what the relay says, else from the message's head."""

from dataclasses import dataclass

from app.errors import BadRequest, FieldFault, MessageRejected
from app.intake.addresses import find_addresses
from app.intake.headers import Head
from app.storage.message import NOBODY, Connection, Envelope


@dataclass(frozen=True)
class PartialEnvelope:
    """What a request says about the envelope; None where it says nothing."""

    sender: str | None = None
    recipient: str | None = None
    connection: Connection = NOBODY
    mail_from: str | None = None
    queue_id: str | None = None


def merge(headers: PartialEnvelope, body: PartialEnvelope) -> PartialEnvelope:
    """Return what both say together; raises BadRequest when they contradict each other."""
    return PartialEnvelope(
        sender=_agree("sender", headers.sender, body.sender),
        recipient=_agree("recipient", headers.recipient, body.recipient),
        connection=Connection(
            client_address=_agree(
                "client-address", headers.connection.client_address, body.connection.client_address
            ),
            client_hostname=_agree(
                "client-hostname",
                headers.connection.client_hostname,
                body.connection.client_hostname,
            ),
            helo=_agree("helo", headers.connection.helo, body.connection.helo),
        ),
        mail_from=headers.mail_from,
        queue_id=headers.queue_id,
    )


def _agree(field: str, header: str | None, body: str | None) -> str | None:
    if header is not None and body is not None and not _is_same(header, body):
        raise BadRequest(
            f"The header X-Original-{field.title()} contradicts the body.",
            [FieldFault(field, "Differs from the header.")],
        )
    return body if header is None else header


def _is_same(one: str, other: str) -> bool:
    return one == other or find_addresses(one) == find_addresses(other) != []


def complete(given: PartialEnvelope, head: Head) -> Envelope:
    """Return the whole envelope, with the message's From and To for what wasn't given.

    A given but empty sender is the null sender. Raises MessageRejected when there is no
    usable address, or more than one where one is due.
    """
    sender = given.mail_from if given.sender is None else given.sender
    sender = head.sender if sender is None else _only_address("sender", sender, allow_null=True)
    recipient = given.recipient
    recipient = head.recipient if recipient is None else _only_address("recipient", recipient)
    if sender is None:
        raise MessageRejected("There is no sender: neither the envelope nor From names one.")
    if recipient is None:
        raise MessageRejected("There is no recipient: neither the envelope nor To names one.")
    return Envelope(sender, recipient, given.connection, given.mail_from, given.queue_id)


def _only_address(field: str, text: str, *, allow_null: bool = False) -> str:
    if allow_null and text.strip() in {"", "<>"}:
        return ""
    addresses = find_addresses(text)
    if len(addresses) != 1:
        raise MessageRejected(f"The {field} has to be one address like user@example.com.")
    return addresses[0]
