"""The outcomes of attempts, and the stable reasons of failures."""

from dataclasses import dataclass
from enum import StrEnum

from app.storage.delivery import Attempt


class OutcomeKind(StrEnum):
    """How the metrics count an attempt."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"


class Reason(StrEnum):
    """Why an attempt failed: a stable code, how the metrics count it, and its meaning.

    Those with `is_breaking` count for the endpoint's circuit breaker.
    """

    kind: OutcomeKind
    meaning: str
    is_breaking: bool

    def __new__(
        cls, code: str, kind: OutcomeKind, meaning: str, is_breaking: bool = True
    ) -> "Reason":
        """Create a member whose value is `code`."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.kind = kind
        member.meaning = meaning
        member.is_breaking = is_breaking
        return member

    REDIRECT = (
        "redirect",
        OutcomeKind.REFUSED,
        "The answer is a redirect (3xx), which is not followed.",
        False,
    )
    GONE = (
        "gone",
        OutcomeKind.REFUSED,
        "The answer is 410 (Gone): the endpoint is paused until it is resumed.",
        False,
    )
    RATE_LIMITED = (
        "rate_limited",
        OutcomeKind.REFUSED,
        "The endpoint answered 429: it gets too many requests.",
    )
    SERVER_ERROR = (
        "server_error",
        OutcomeKind.REFUSED,
        "The endpoint failed: it answered with a 5xx status.",
    )
    REFUSED = (
        "refused",
        OutcomeKind.REFUSED,
        "The endpoint refused the message: its answer is not 2xx.",
        False,
    )
    TIMEOUT = (
        "timeout",
        OutcomeKind.TIMEOUT,
        "No answer arrived within the endpoint's timeout, which includes the look-up of its name.",
    )
    NAME_NOT_FOUND = (
        "name_not_found",
        OutcomeKind.UNREACHABLE,
        "The look-up of the host failed, or it has no address.",
    )
    ADDRESS_REFUSED = (
        "address_refused",
        OutcomeKind.UNREACHABLE,
        "The host has no address that GoMail may connect to.",
    )
    CONNECTION_FAILED = (
        "connection_failed",
        OutcomeKind.UNREACHABLE,
        "The connection failed: nothing listens on the port, or there is no route to the host.",
    )
    CONNECTION_CLOSED = (
        "connection_closed",
        OutcomeKind.UNREACHABLE,
        "The endpoint closed the connection before it answered.",
    )
    TLS_FAILED = (
        "tls_failed",
        OutcomeKind.UNREACHABLE,
        "TLS failed; usually the certificate is invalid, for another host, or not trusted.",
    )
    TLS_FILES_UNUSABLE = (
        "tls_files_unusable",
        OutcomeKind.UNREACHABLE,
        "ca_file, client_cert_file or client_key_file can't be read, or has the wrong content.",
    )
    ANSWER_INVALID = (
        "answer_invalid",
        OutcomeKind.UNREACHABLE,
        "The answer is not HTTP/1.1, or its header section is too large.",
    )


@dataclass(frozen=True)
class Outcome:
    """The result of an attempt; `reason` is None if the message was delivered.

    `retry_after_s` is the value of Retry-After in seconds from now, at most a day, or None.
    """

    reason: Reason | None
    attempt: Attempt
    retry_after_s: float | None = None

    @property
    def kind(self) -> OutcomeKind:
        """How the metrics count it."""
        return OutcomeKind.DELIVERED if self.reason is None else self.reason.kind

    @property
    def is_breaking(self) -> bool:
        """Whether it counts for the circuit breaker."""
        return self.reason is not None and self.reason.is_breaking

    @property
    def pauses(self) -> bool:
        """Whether it pauses the endpoint."""
        return self.reason is Reason.GONE


def reason_of(status: int) -> Reason | None:
    """Return why an answer with `status` is a failure, None if it is a success."""
    if 200 <= status < 300:
        return None
    exact = {410: Reason.GONE, 429: Reason.RATE_LIMITED}
    by_class = {3: Reason.REDIRECT, 5: Reason.SERVER_ERROR}
    return exact.get(status) or by_class.get(status // 100, Reason.REFUSED)


class AttemptFailed(Exception):
    """Raised when an attempt ends without an answer; the text is one line for people.

    `address` is the IP address of the endpoint, None if it wasn't known yet.
    """

    def __init__(self, reason: Reason, text: str, address: str | None = None) -> None:
        super().__init__(text)
        self.reason = reason
        self.address = address
