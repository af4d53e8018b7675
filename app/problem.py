"""Problem documents (RFC 9457): one shape and one table of statuses for every error."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.errors import FieldFault

STATUS_OF_CODE = {
    "bad_request": 400,
    "unauthorized": 401,
    "policy_reject": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "message_too_large": 413,
    "unsupported_media_type": 415,
    "message_rejected": 422,
    "recipient_unknown": 422,
    "rate_limited": 429,
    "internal_error": 500,
    "shutting_down": 503,
    "storage_unavailable": 503,
}


def problem_document(
    code: str, detail: str, request_id: str, faults: Sequence[FieldFault] = ()
) -> dict[str, Any]:
    """Return the document for `code`, one of STATUS_OF_CODE."""
    document: dict[str, Any] = {
        "type": f"urn:gomail:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": STATUS_OF_CODE[code],
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if faults:
        document["errors"] = [asdict(fault) for fault in faults]
    return document
