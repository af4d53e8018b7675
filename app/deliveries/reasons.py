"""What the reasons of deliveries and endpoints mean, for people."""

from app.deliveries.endpoint_status import NOT_CONFIGURED, REQUESTED
from app.deliveries.outcome import Reason
from app.deliveries.verdict import (
    EXHAUSTED,
    INTERNAL_ERROR,
    MESSAGE_CORRUPT,
    MESSAGE_DELETED,
    MESSAGE_UNREADABLE,
)
from app.storage.delivery import POISON

_MEANINGS = {str(each): each.meaning for each in Reason} | {
    EXHAUSTED: "All attempts have failed.",
    POISON: "The process that sent it was killed, three times in a row.",
    MESSAGE_CORRUPT: "The stored message is damaged.",
    MESSAGE_DELETED: "The message was deleted.",
    MESSAGE_UNREADABLE: "The stored message could not be read; the log says why.",
    INTERNAL_ERROR: "A bug in GoMail, which its log describes.",
    REQUESTED: "Someone has paused it.",
    NOT_CONFIGURED: "It is not in the configuration.",
}


def meaning(reason: str | None) -> str | None:
    """Return one sentence about a reason, None without one."""
    return None if reason is None else _MEANINGS.get(reason, reason)
