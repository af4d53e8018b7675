"""Sends a test message along the same path as real mail, to find out where it is broken.

Each step raises BrokenLink with what is wrong and what to do about it.
"""

import http.client
import json
import smtplib
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from app.errors import GoMailError
from app.relay.postfix import received_domains
from app.settings import Settings
from app.settings.url import local_host
from app.storage.interface import MessageStore, Query
from app.storage.message import Reason

LOCAL_PART = "gomail-canary"
_SUBJECT = "GoMail canary"
_POLL_SECONDS = 0.2
_ABANDONED_AFTER = timedelta(minutes=10)


class BrokenLink(Exception):
    """What is broken and what to do about it, in one or two sentences."""


@dataclass(frozen=True)
class Canary:
    """A message with an id of its own, and the null sender, so that nothing can bounce."""

    recipient: str
    id: str

    @property
    def subject(self) -> str:
        """The subject, by which the message is recognized."""
        return f"{_SUBJECT} {self.id}"

    @property
    def raw(self) -> bytes:
        """The whole message."""
        return (
            f"From: <{self.recipient}>\r\nTo: <{self.recipient}>\r\n"
            f"Subject: {self.subject}\r\n\r\nThis message is removed at once.\r\n"
        ).encode()


def new_canary(settings: Settings) -> Canary:
    """Return a canary for the first domain that `settings` receive mail for."""
    domain = next(iter(received_domains(settings)), "gomail.invalid")
    return Canary(f"{LOCAL_PART}@{domain}", uuid4().hex)


def send_over_http(canary: Canary, settings: Settings, token: bytes, seconds: float) -> None:
    """Send `canary` to the server that runs with `settings`; it has `seconds` to answer."""
    server = settings.server
    connection = http.client.HTTPConnection(local_host(server), server.port, timeout=seconds)
    headers: dict[str, str | bytes] = {
        "Authorization": b"Bearer " + token,
        "Content-Type": "message/rfc822",
        "X-Original-Sender": "",
        "X-Original-Recipient": canary.recipient,
        "Idempotency-Key": canary.id,
    }
    where = f"{local_host(server)} port {server.port}"
    try:
        connection.request("POST", "/mail/inbound", canary.raw, headers)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise BrokenLink(
            f"No answer from {where}: {error}. Is the server running, with this configuration?"
        ) from error
    finally:
        connection.close()
    if not _is_success(status, body):
        raise BrokenLink(f"The server at {where} refused the canary: {_reason(status, body)}")


def send_over_smtp(canary: Canary, host: str, port: int, seconds: float) -> None:
    """Send `canary` to the mail server at `host` and `port`; it has `seconds` for each reply."""
    where = f"The mail server at {host} port {port}"
    try:
        with smtplib.SMTP(host, port, timeout=seconds) as client:
            client.sendmail("", [canary.recipient], canary.raw)
    except smtplib.SMTPRecipientsRefused as error:
        code, reply = error.recipients[canary.recipient]
        raise BrokenLink(
            f"{where} doesn't accept mail for {canary.recipient}: {code} {reply.decode('latin-1')}."
            " See virtual_mailbox_domains in main.cf."
        ) from error
    except (OSError, smtplib.SMTPException) as error:
        raise BrokenLink(f"{where} didn't accept the canary: {error}") from error


def wait_for_arrival(canary: Canary, store: MessageStore, seconds: float) -> None:
    """Wait until `canary` is in `store` and remove it, as well as those of abandoned checks."""
    deadline = time.monotonic() + seconds
    while not _take_out(canary, store):
        if time.monotonic() >= deadline:
            raise BrokenLink(
                f"The canary was accepted, but wasn't in the store after {seconds:.0f} seconds. If"
                " it was sent by SMTP, `postqueue -p` says why it waits; otherwise the server uses"
                " a different data_dir than this configuration."
            )
        time.sleep(_POLL_SECONDS)


def _take_out(canary: Canary, store: MessageStore) -> bool:
    has_arrived = False
    abandoned_before = datetime.now(UTC) - _ABANDONED_AFTER
    try:
        for message in list(store.search(Query(recipient=canary.recipient))):
            is_this_one = message.subject == canary.subject
            if is_this_one and canary.id.encode() not in store.read(message.message_id):
                raise BrokenLink("The canary was stored, but not as it was sent.")
            has_arrived = has_arrived or is_this_one
            is_abandoned = message.subject.startswith(f"{_SUBJECT} ") and (
                message.received_at < abandoned_before
            )
            if is_this_one or is_abandoned:
                store.remove([message.message_id], Reason.REQUEST)
    except GoMailError as error:
        raise BrokenLink(f"The store can't be used: {error}") from error
    return has_arrived


def _is_success(status: int, body: bytes) -> bool:
    try:
        return status == http.client.OK and "message_id" in json.loads(body)
    except (ValueError, TypeError):
        return False


def _reason(status: int, body: bytes) -> str:
    try:
        problem = json.loads(body)
        reason = f"{problem['code']}, {problem['detail']}"
    except (ValueError, TypeError, LookupError):
        return f"status {status}, and not in a form that GoMail uses. Is it another server?"
    return f"{reason} {_ADVICE.get(problem['code'], '')}".rstrip()


_ADVICE = {
    "unauthorized": "The server was started with a different token: restart or reload it.",
    "rate_limited": "This host sends too much, or rate_limit_burst is too low.",
    "storage_unavailable": "See `/health` for the reason, and check the disk of data_dir.",
    "recipient_unknown": "The server runs with different allowed_recipient_domains: reload it.",
}
