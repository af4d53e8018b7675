"""Every way in which a message can be refused or fail, without a word about HTTP.

Each class has a stable `code`; `app.web.problems` maps codes to statuses. The text of an
error is shown to clients: it never holds a path, a secret or another client's data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class FieldFault:
    """One fault in one field of a request."""

    field: str
    message: str


class GoMailError(Exception):
    """Base of all expected failures; `str(error)` says what was wrong and what would be right."""

    code: ClassVar[str] = "internal_error"


class BadRequest(GoMailError):
    """The request can't be understood; the message itself may be fine."""

    code = "bad_request"

    def __init__(self, detail: str, faults: Sequence[FieldFault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class Unauthorized(GoMailError):
    """No valid bearer token was given."""

    code = "unauthorized"


class PolicyReject(GoMailError):
    """The sender's domain is blocked."""

    code = "policy_reject"


class MessageTooLarge(GoMailError):
    """The message is larger than max_message_size, or its JSON than a message could need."""

    code = "message_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"This is more than the {limit} bytes that are allowed.")


class UnsupportedMediaType(GoMailError):
    """The body comes in a type or an encoding that isn't taken."""

    code = "unsupported_media_type"


class MessageRejected(GoMailError):
    """What was sent is no message, or has no usable address."""

    code = "message_rejected"


class RecipientUnknown(GoMailError):
    """The recipient's domain is outside allowed_recipient_domains."""

    code = "recipient_unknown"


class RateLimited(GoMailError):
    """The client has used up its requests; one more passes after the seconds of Retry-After."""

    code = "rate_limited"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("Too many requests: wait as long as the header Retry-After says.")
        self.retry_after_seconds = retry_after_seconds


class RequestTimeout(GoMailError):
    """The client was slower than read_timeout or handler_timeout."""

    code = "timeout"


class ShuttingDown(GoMailError):
    """The server takes no new requests; the next one starts in a moment."""

    code = "shutting_down"
    retry_after_seconds: ClassVar[int] = 5


class StorageUnavailable(GoMailError):
    """Nothing can be stored at the moment; nothing of the message was kept.

    The cause (errno, path) is in `__cause__`, for the log only.
    """

    code = "storage_unavailable"
    retry_after_seconds: ClassVar[int] = 5

    def __init__(self, detail: str = "The store can't be used at the moment.") -> None:
        super().__init__(detail)


class MessageNotFound(GoMailError):
    """No stored message has this id."""

    code = "not_found"


class MessageCorrupt(GoMailError):
    """The stored bytes no longer match the SHA-256 taken when they arrived."""

    code = "internal_error"
