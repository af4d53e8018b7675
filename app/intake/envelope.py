"""The sender and recipient of a message: as the relay gives them, else from the headers."""

import logging
from dataclasses import dataclass

from app.errors import BadRequest, FieldFault, MessageRejected
from app.intake.headers import Head
from app.mime.addresses import whole_address
from app.printable import readable
from app.storage.message import UNKNOWN_CLIENT, Envelope, SMTPClient

POSTFIX_NULL_SENDER = "MAILER-DAEMON"
"""What Postfix's pipe(8) writes for the null sender unless it is told otherwise."""

_HEADERS = {
    "sender": "X-Original-Sender",
    "recipient": "X-Original-Recipient",
    "client_address": "X-Original-Client-Address",
    "client_hostname": "X-Original-Client-Hostname",
    "client_helo": "X-Original-Helo",
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PartialEnvelope:
    """What a request says about the envelope; None where it says nothing."""

    sender: str | None = None
    recipient: str | None = None
    connection: SMTPClient = UNKNOWN_CLIENT
    mail_from: str | None = None
    queue_id: str | None = None

    @property
    def given_sender(self) -> str | None:
        """The sender; without one, what the SMTP client gave as MAIL FROM."""
        return self.mail_from if self.sender is None else self.sender


def merge(headers: PartialEnvelope, body: PartialEnvelope) -> PartialEnvelope:
    """Return both combined; raises BadRequest when they contradict each other."""
    return PartialEnvelope(
        sender=_agree("sender", headers.sender, body.sender),
        recipient=_agree("recipient", headers.recipient, body.recipient),
        connection=SMTPClient(
            client_address=_agree(
                "client_address", headers.connection.client_address, body.connection.client_address
            ),
            client_hostname=_agree(
                "client_hostname",
                headers.connection.client_hostname,
                body.connection.client_hostname,
            ),
            helo=_agree("client_helo", headers.connection.helo, body.connection.helo),
        ),
        mail_from=headers.mail_from,
        queue_id=headers.queue_id,
    )


def _agree(field: str, header: str | None, body: str | None) -> str | None:
    if header is not None and body is not None and not _is_same(header, body):
        name = _HEADERS[field]
        raise BadRequest(
            f"The header {name} contradicts the body.",
            [FieldFault(field, f"Differs from {name}.")],
        )
    return body if header is None else header


def _is_same(one: str, other: str) -> bool:
    return one == other or whole_address(one) == whole_address(other) is not None


def complete(given: PartialEnvelope, head: Head) -> Envelope:
    """Return the complete envelope, with the message's From and To for what wasn't given.

    A sender that is present but empty is the null sender. Raises MessageRejected when there is no
    usable address, and when a given one is not one address and nothing else.
    """
    sender = given.given_sender
    sender = head.sender if sender is None else _sender(sender)
    recipient = given.recipient
    recipient = head.recipient if recipient is None else _whole("recipient", recipient)
    if sender is None:
        raise MessageRejected("Neither the envelope nor From has a sender.")
    if recipient is None:
        raise MessageRejected("Neither the envelope nor To has a recipient.")
    return Envelope(sender, recipient, given.connection, given.mail_from, given.queue_id)


def with_originals_of(head: Head, given: PartialEnvelope) -> PartialEnvelope:
    """Return `given`, completed by the X-Original- fields of `head` if it names nobody."""
    originals = head.originals
    if not given.sender is given.mail_from is given.recipient is None or not originals:
        return given

    def text(name: str) -> str | None:
        return readable(originals[name]) if name in originals else None

    connection = given.connection
    return PartialEnvelope(
        sender=originals.get("sender"),
        recipient=originals.get("recipient"),
        connection=SMTPClient(
            client_address=connection.client_address or text("client-address"),
            client_hostname=connection.client_hostname or text("client-hostname"),
            helo=connection.helo or text("helo"),
        ),
        mail_from=text("mail-from"),
        queue_id=given.queue_id or text("queue-id"),
    )


def _sender(text: str) -> str:
    if text.strip() in {"", "<>"}:
        return ""
    if text.strip().upper() == POSTFIX_NULL_SENDER:
        _log.warning(
            "The sender MAILER-DAEMON was read as the null sender: set null_sender= (empty) for"
            " Postfix's pipe(8) in master.cf."
        )
        return ""
    return _whole("sender", text)


def _whole(field: str, text: str) -> str:
    address = whole_address(text)
    if address is None:
        raise MessageRejected(
            f"The {field} of the envelope must be one address like user@example.com, and nothing"
            " else."
        )
    return address
