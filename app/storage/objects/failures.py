"""Says why a request to the object store failed, without anything that could be a secret.

The library's own messages have many lines, with the answer of the store, which may name the access
key or repeat what was signed. So the reason is made of parts that are known to be harmless.
"""

import re

import obstore.exceptions

FAILURES = (obstore.exceptions.BaseError, OSError)
"""What the library raises: FileNotFoundError, which is an OSError, for a missing object."""

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
_KINDS = (
    (re.compile(r"Connection refused"), "connection refused"),
    (re.compile(r"dns error|failed to lookup"), "its name can't be resolved"),
    (re.compile(r"certificate|tls|TLS"), "its certificate isn't trusted, or TLS failed"),
    (re.compile(r"TimedOut|operation timed out|Timeout"), "it didn't answer in time"),
    (re.compile(r"kind: Connect"), "no connection"),
    (re.compile(r"kind: Request|kind: Interrupted|IncompleteMessage"), "the connection broke off"),
    (re.compile(r"kind: Decode|error decoding response body"), "its answer was cut off"),
    (re.compile(r"without LOCATION"), "it redirects: object_store_region is wrong"),
    (re.compile(r"range|Range"), "it answered with other bytes than were asked for"),
)


class ObjectStoreError(OSError):
    """Why the object store can't be used: the `__cause__` of StorageUnavailable."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.strerror = reason  # what /health shows


def reason_of(error: BaseException) -> str:
    """Return why the store failed, in one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if isinstance(error, TimeoutError):
        return "it didn't answer in time"
    text = str(error)
    status, code = _STATUS.search(text), _CODE.search(text)
    if status:
        return f"it answered {status[1]}" + (f" {code[1]}" if code else "")
    for pattern, reason in _KINDS:
        if pattern.search(text):
            return reason
    return type(error).__name__


def is_missing(error: BaseException) -> bool:
    """Return whether just the object is missing, and not the whole bucket."""
    return isinstance(error, FileNotFoundError) and "NoSuchBucket" not in str(error)
