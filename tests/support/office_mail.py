"""A morning's mail as a company gets it, for pictures of the inbox page."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from support.store import start

from app.storage.ids import new_message_id
from app.storage.message import Envelope, Message

_DAY = datetime(2026, 3, 2, tzinfo=UTC)
_BOUNCE = ""

# Hour, minute, second; sender; who of acme.example gets it; subject; size in bytes.
_MAIL = [
    ((8, 14, 40), "j.okafor@northwind.example", "support", "Re: Where is order 40718?", 3_911),
    ((8, 31, 5), "billing@hosting.example", "invoices", "Invoice 2026-0381", 148_730),
    ((8, 32, 47), "anna.lindqvist@fjord.example", "jobs", "Application: data engineer", 412_066),
    ((8, 45, 19), _BOUNCE, "newsletter+8f31", "Undelivered Mail Returned to Sender", 5_322),
    ((8, 58, 33), "noreply@ca.example", "ops", "Your certificate expires in 14 days", 2_240),
    ((9, 12, 54), "kim.tran@northwind.example", "support", "Can't log in since the update", 6_774),
    ((9, 20, 41), "zoé.dupré@example.fr", "support", "Où est ma commande 40733 ?", 4_037),
    ((9, 27, 26), "scanner@office.acme.example", "invoices", "Scan from the 2nd floor", 1_843_200),
    ((9, 33, 15), "h.weber@baustoffe.example", "orders", "Bestellung 2026/114", 22_451),
    ((9, 52, 9), "j.okafor@northwind.example", "support", "Re: Re: Where is order 40718?", 5_190),
]


def store_office_mail(data_dir: Path) -> None:
    """Store the messages, always with the same times and sizes."""
    store = start(data_dir)
    for (hour, minute, second), sender, mailbox, subject, size in _MAIL:
        at = _DAY.replace(hour=hour, minute=minute, second=second)
        envelope = Envelope(sender, f"{mailbox}@acme.example")
        key = hashlib.sha256(at.isoformat().encode()).hexdigest()
        head = f"From: {sender}\r\nSubject: {subject}\r\n\r\n".encode()
        body = store.new_body()
        body.write(head.ljust(size, b"."))
        store.add(Message(new_message_id(at), at, envelope, subject, key), body)
    store.close()
