"""The envelope as header fields, as the relay delivers it and endpoints get it."""

from collections.abc import Mapping

from app.storage.message import Envelope


def original_fields(envelope: Envelope) -> Mapping[str, str]:
    """Return the names, which begin with X-Original-, and values of all known members."""
    values = {
        "X-Original-Sender": envelope.sender,
        "X-Original-Recipient": envelope.recipient,
        "X-Original-Client-Address": envelope.connection.client_address,
        "X-Original-Client-Hostname": envelope.connection.client_hostname,
        "X-Original-Helo": envelope.connection.helo,
        "X-Original-Mail-From": envelope.mail_from,
        "X-Original-Queue-Id": envelope.queue_id,
    }
    return {name: value for name, value in values.items() if value is not None}
