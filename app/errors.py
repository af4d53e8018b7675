"""Every way in which a request can be refused or fail.

ERRORS is the only table of them: statuses, metrics, documentation and the relay's list of final
refusals come from it or are tested against it. An error's text is shown to clients, so it never
contains a path, a secret or another client's data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal


@dataclass(frozen=True)
class ErrorKind:
    """One stable code.

    `outcome` is how emails_processed_total counts the message, None when the request was refused
    before its message was looked at. `is_final` errors are about the message itself: sending it
    again can't help, so the relay lets it bounce.
    """

    code: str
    status: int
    meaning: str
    outcome: Literal["rejected", "error"] | None = None
    is_final: bool = False


_KINDS = (
    ErrorKind(
        "bad_request",
        400,
        "The request can't be understood; the message itself may be fine.",
        "rejected",
    ),
    ErrorKind("unauthorized", 401, "The request has no valid token."),
    ErrorKind("policy_reject", 403, "The sender's domain is blocked.", "rejected", is_final=True),
    ErrorKind(
        "forbidden",
        403,
        "The token is valid, but this route takes the other kind; or another site may have sent"
        " the request for the inbox page.",
    ),
    ErrorKind("not_found", 404, "There is nothing at this path."),
    ErrorKind(
        "method_not_allowed",
        405,
        "The path does not support this method; `Allow` lists those it does.",
    ),
    ErrorKind(
        "timeout", 408, "The client was slower than read_timeout or handler_timeout.", "error"
    ),
    ErrorKind(
        "conflict",
        409,
        "The state of the delivery doesn't allow this; see `detail`.",
    ),
    ErrorKind(
        "message_too_large",
        413,
        "The message, or the JSON body that carries it, exceeds what max_message_size allows.",
        "rejected",
        is_final=True,
    ),
    ErrorKind(
        "unsupported_media_type",
        415,
        "The type or the encoding of the body is not supported.",
        "rejected",
    ),
    ErrorKind(
        "range_not_satisfiable",
        416,
        "The requested `Range` is beyond the end of the message; `Content-Range` has its size.",
    ),
    ErrorKind(
        "message_rejected",
        422,
        "The body is not a message, or has no usable address.",
        "rejected",
        is_final=True,
    ),
    ErrorKind(
        "recipient_unknown",
        422,
        "The recipient's domain is outside allowed_recipient_domains.",
        "rejected",
        is_final=True,
    ),
    ErrorKind(
        "rate_limited",
        429,
        "The client has reached its rate limit; see `Retry-After` for when the next may come.",
    ),
    ErrorKind(
        "internal_error", 500, "Something failed in the server; its log has the reason.", "error"
    ),
    ErrorKind("shutting_down", 503, "The server is about to stop and accepts no new requests."),
    ErrorKind(
        "storage_unavailable",
        503,
        "The store can't be used at the moment; a message in the request was not stored.",
        "error",
    ),
)

ERRORS: Mapping[str, ErrorKind] = {kind.code: kind for kind in _KINDS}
"""Each kind of error by its code."""


@dataclass(frozen=True)
class FieldFault:
    """One fault in one field of a request."""

    field: str
    message: str


class GoMailError(Exception):
    """Base of all expected failures; `str(error)` says what was wrong and how to fix it."""

    code: ClassVar[str] = "internal_error"


class BadRequest(GoMailError):
    """See ERRORS; `faults` names the fields that are wrong."""

    code = "bad_request"

    def __init__(self, detail: str, faults: Sequence[FieldFault] = ()) -> None:
        super().__init__(detail)
        self.faults = tuple(faults)


class Unauthorized(GoMailError):
    """See ERRORS."""

    code = "unauthorized"


class Forbidden(GoMailError):
    """See ERRORS."""

    code = "forbidden"


class PolicyReject(GoMailError):
    """See ERRORS."""

    code = "policy_reject"


class MessageTooLarge(GoMailError):
    """See ERRORS; `limit` is in bytes."""

    code = "message_too_large"

    def __init__(self, limit: int) -> None:
        super().__init__(f"The body is larger than the {limit} bytes that are allowed.")


class UnsupportedMediaType(GoMailError):
    """See ERRORS."""

    code = "unsupported_media_type"


class RangeNotSatisfiable(GoMailError):
    """See ERRORS; `size` is the size of the whole message in bytes."""

    code = "range_not_satisfiable"

    def __init__(self, size: int) -> None:
        super().__init__(f"The message has {size} bytes, none of them in the requested range.")
        self.size = size


class MessageRejected(GoMailError):
    """See ERRORS."""

    code = "message_rejected"


class RecipientUnknown(GoMailError):
    """See ERRORS."""

    code = "recipient_unknown"


class RateLimited(GoMailError):
    """See ERRORS."""

    code = "rate_limited"

    def __init__(self, retry_after_seconds: float) -> None:
        super().__init__("Too many requests: wait as long as the Retry-After header says.")
        self.retry_after_seconds = retry_after_seconds


class RequestTimeout(GoMailError):
    """See ERRORS."""

    code = "timeout"


class ShuttingDown(GoMailError):
    """See ERRORS; the next server starts in a moment."""

    code = "shutting_down"
    retry_after_seconds: ClassVar[int] = 5


class StorageUnavailable(GoMailError):
    """See ERRORS; the cause (errno, path) is in `__cause__`, for the log only."""

    code = "storage_unavailable"
    retry_after_seconds: ClassVar[int] = 5

    def __init__(self, detail: str = "The store can't be used at the moment.") -> None:
        super().__init__(detail)


class MessageNotFound(GoMailError):
    """No stored message has this id."""

    code = "not_found"


class DeliveryNotFound(GoMailError):
    """No delivery has this id or number."""

    code = "not_found"


class EndpointNotFound(GoMailError):
    """No endpoint has this name."""

    code = "not_found"


class Conflict(GoMailError):
    """See ERRORS."""

    code = "conflict"


class MessageCorrupt(GoMailError):
    """The stored bytes no longer match the SHA-256 taken when they arrived."""


class MessageUnreadable(GoMailError):
    """The stored bytes of one message can't be read, although the store works otherwise.

    The cause (errno, path) is in `__cause__`, for the log only.
    """
