"""The lines of Postfix's configuration that deliver mail to GoMail."""

import shutil
import subprocess
from dataclasses import dataclass

from app.domains import in_unicode
from app.settings import Settings

TRANSPORT = "gomail"
TIME_LIMIT_SECONDS = 300  # gomail-relay gives up after 90 and defers; Postfix would bounce
HEADER_BYTES = 128 * 1024  # what Postfix may add: a header is at most 102,400 bytes long
_LARGEST_DEFAULT_MAILBOX = 51_200_000


@dataclass(frozen=True)
class PipeTransport:
    """What the lines refer to: the URL, the absolute paths of files, and the script's user."""

    url: str
    token_file: str
    user: str
    relay: str


def main_cf(settings: Settings) -> str:
    """Return the lines for main.cf."""
    lines = [
        f"# Mail for these domains goes to GoMail, over the transport {TRANSPORT} in master.cf.",
        f"virtual_mailbox_domains = {', '.join(_both_spellings(settings) or ['$mydomain'])}",
        f"virtual_transport = {TRANSPORT}",
        "virtual_mailbox_maps = static:all",
        "# One recipient per call, and a time limit well above gomail-relay's 90 seconds: when it",
        "# expires, Postfix bounces the message.",
        f"{TRANSPORT}_destination_recipient_limit = 1",
        f"{TRANSPORT}_time_limit = {TIME_LIMIT_SECONDS}s",
        "# GoMail recognizes a repeated delivery by its queue id, so ids must never be reused.",
        "enable_long_queue_ids = yes",
        "# Below GoMail's max_message_size, so that Postfix refuses a message before accepting it.",
        f"message_size_limit = {size_limit(settings)}",
    ]
    if size_limit(settings) > _LARGEST_DEFAULT_MAILBOX:
        lines.append("mailbox_size_limit = 0")
    return "\n".join(lines) + "\n"


def master_cf(settings: Settings, transport: PipeTransport) -> str:
    """Return the lines for master.cf."""
    at_once = settings.server.workers * settings.server.threads
    arguments = "${sender} ${recipient} ${queue_id} ${client_address} ${client_hostname}"
    return (
        f"{TRANSPORT} unix - n n - {at_once} pipe\n"
        f"  flags=Rq user={transport.user} null_sender=\n"
        f"  argv={transport.relay} {transport.url} {transport.token_file}\n"
        f"  {arguments} ${{client_helo}}\n"
    )


def size_limit(settings: Settings) -> int:
    """Return the largest message_size_limit, in bytes, with which GoMail accepts every message."""
    taken = settings.mail.max_message_size
    return max(taken - HEADER_BYTES, taken // 2)


def size_limit_warning(settings: Settings) -> str | None:
    """Return what is wrong with the message_size_limit of this host's Postfix.

    None when it fits, or when this host has no Postfix.
    """
    postconf = shutil.which("postconf")
    if postconf is None:
        return None
    command = [postconf, "-h", "message_size_limit"]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    limit = asked.stdout.strip()
    if not limit.isdecimal() or 0 < int(limit) <= size_limit(settings):
        return None
    return (
        f"Postfix accepts messages of up to {limit} bytes (message_size_limit; 0 means any size),"
        f" but GoMail only {settings.mail.max_message_size} (max_message_size), including what"
        f" Postfix adds: larger ones would bounce. Set message_size_limit = {size_limit(settings)}."
    )


def missing_domains_warning(settings: Settings) -> str | None:
    """Return a warning when no setting names the domains to receive mail for, else None."""
    if received_domains(settings):
        return None
    return (
        "neither allowed_recipient_domains nor primary_domain is set: the lines accept mail for"
        " Postfix's own $mydomain"
    )


def received_domains(settings: Settings) -> list[str]:
    """Return the domains to receive mail for, as far as `settings` name them."""
    mail = settings.mail
    primary = [mail.primary_domain] if mail.primary_domain else []
    return sorted(mail.allowed_recipient_domains) or primary


def _both_spellings(settings: Settings) -> list[str]:
    # Mail over SMTPUTF8 (RFC 6531) names an international domain in Unicode.
    domains = received_domains(settings)
    return domains + [spelled for each in domains if (spelled := in_unicode(each)) != each]
