"""Advice after a failed test of an endpoint."""

from app.deliveries.outcome import Outcome, Reason

_MAY_BE_ABOUT_THE_SIGNATURE = {400, 401, 403}

_ADVICE = {
    Reason.NAME_NOT_FOUND: "Check the host in url, and whether this machine can look it up.",
    Reason.ADDRESS_REFUSED: "GoMail never connects to link-local, multicast or unspecified"
    " addresses, or to metadata services; with networks: public, not to private addresses either.",
    Reason.CONNECTION_FAILED: "Does the application run, does it listen at this address and port,"
    " and does every firewall on the way let this machine through?",
    Reason.CONNECTION_CLOSED: "Does it expect https where url has http? Otherwise see its log, or"
    " the log of a proxy in front of it.",
    Reason.TLS_FAILED: "If the certificate is from your own authority, set ca_file; the name in the"
    " certificate must be the host in url.",
    Reason.TLS_FILES_UNUSABLE: "The server's user must be able to read these files.",
    Reason.TIMEOUT: "The application must answer at once, and process the message afterwards.",
    Reason.ANSWER_INVALID: "Does an HTTP server listen on this port? Does it expect https?",
    Reason.REDIRECT: "Set url to the address that it redirects to.",
    Reason.GONE: "The endpoint wants no more messages: the next such answer pauses it.",
    Reason.RATE_LIMITED: "The endpoint gets too many requests: lower its concurrency.",
    Reason.SERVER_ERROR: "The application failed: see its log.",
}
_ABOUT_THE_SIGNATURE = (
    "If it couldn't verify the signature: it needs the secret of this endpoint, it has to verify"
    " the bytes of the body before it decodes them, and its clock must be right within 5 minutes."
)
_ABOUT_THE_PATH = "Nothing accepts POST requests at this path: check the path in url."
_ABOUT_ANYTHING_ELSE = "The application refused the message: see its log."


def advice(outcome: Outcome) -> str | None:
    """Return advice after a failed test, None after a successful one."""
    if outcome.reason is None:
        return None
    status = outcome.attempt.status
    if outcome.reason is not Reason.REFUSED:
        return _ADVICE[outcome.reason]
    if status in _MAY_BE_ABOUT_THE_SIGNATURE:
        return _ABOUT_THE_SIGNATURE
    return _ABOUT_THE_PATH if status in {404, 405} else _ABOUT_ANYTHING_ELSE
