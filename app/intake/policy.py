"""Policy: which senders' mail is accepted, and for which recipients."""

from app.domains import domain_of
from app.errors import PolicyReject, RecipientUnknown
from app.storage.message import Envelope


def check_policy(
    envelope: Envelope, blocked_domains: frozenset[str], allowed_recipient_domains: frozenset[str]
) -> None:
    """Return if the message may be stored.

    A blocked domain includes its subdomains; an empty set of allowed domains allows all.
    Domains are given as `app.domains.comparable` returns them. Raises PolicyReject
    and RecipientUnknown.
    """
    sender_domain = domain_of(envelope.sender)
    if any(parent in blocked_domains for parent in _with_parents(sender_domain)):
        raise PolicyReject(f"Mail from {sender_domain} is not accepted here.")
    recipient_domain = domain_of(envelope.recipient)
    if allowed_recipient_domains and recipient_domain not in allowed_recipient_domains:
        raise RecipientUnknown(f"Mail for {recipient_domain} is not accepted here.")


def _with_parents(domain: str) -> list[str]:
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels))]
