"""Formats a message for a person at a terminal."""

from collections.abc import Iterator, Sequence

from app.mime.mailboxes import Mailbox
from app.mime.message import Attachment, ParsedMessage
from app.printable import escape
from app.storage.message import SMTPClient, StoredMessage

_MOST_PEOPLE = 10


def view(stored: StoredMessage, parsed: ParsedMessage) -> Iterator[str]:
    """Yield the lines that show a message, with all control characters escaped."""
    for name, value in (*_envelope(stored), *_fields(parsed)):
        if value is not None:
            yield f"{name}: {escape(value)}"
    yield ""
    yield from _text(parsed)
    if parsed.attachments:
        yield ""
        yield "Attachments:"
        yield from map(_attachment, parsed.attachments)


def _envelope(stored: StoredMessage) -> Iterator[tuple[str, str | None]]:
    envelope = stored.envelope
    yield "ID", stored.message_id
    yield "Received", f"{stored.received_at:%Y-%m-%d %H:%M:%S} UTC, {stored.size} bytes"
    yield "Sender", envelope.sender or "<>"
    yield "Recipient", envelope.recipient
    yield "Mail from", envelope.mail_from
    yield "Queue id", envelope.queue_id
    yield "Client", _client(envelope.connection)


def _client(client: SMTPClient) -> str | None:
    helo = None if client.helo is None else f"HELO {client.helo}"
    known = (client.client_address, client.client_hostname, helo)
    return ", ".join(each for each in known if each is not None) or None


def _fields(parsed: ParsedMessage) -> Iterator[tuple[str, str | None]]:
    yield "From", _people(parsed.from_)
    yield "To", _people(parsed.to)
    yield "Cc", _people(parsed.cc)
    yield "Reply-To", _people(parsed.reply_to)
    yield "Date", None if parsed.date is None else f"{parsed.date:%Y-%m-%d %H:%M:%S %z}"
    yield "Subject", parsed.subject or None
    yield "Message-ID", parsed.header_message_id
    yield "Defects", ", ".join(parsed.defects) or None


def _people(mailboxes: Sequence[Mailbox]) -> str | None:
    shown = [f"{name} <{address}>" if name else address for name, address in mailboxes]
    more = len(shown) - _MOST_PEOPLE
    if more > 0:
        shown[_MOST_PEOPLE:] = [f"and {more} more"]
    return ", ".join(shown) or None


def _text(parsed: ParsedMessage) -> Iterator[str]:
    if parsed.text is None:
        yield "(no text)"
        return
    for line in parsed.text.splitlines():
        yield escape(line.expandtabs())


def _attachment(attachment: Attachment) -> str:
    name = attachment.filename or "(no name)"
    return escape(f"{attachment.part}  {name}  {attachment.content_type}  {attachment.size} bytes")
