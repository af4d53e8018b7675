"""The body of every error answer: a problem document (RFC 9457)."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from app.errors import ERRORS, FieldFault


def problem_document(
    code: str, detail: str, request_id: str, faults: Sequence[FieldFault] = ()
) -> dict[str, Any]:
    """Return the document for `code`, one of ERRORS."""
    document: dict[str, Any] = {
        "type": f"urn:gomail:problem:{code}",
        "title": code.replace("_", " ").capitalize(),
        "status": ERRORS[code].status,
        "detail": detail,
        "code": code,
        "request_id": request_id,
    }
    if faults:
        document["errors"] = [asdict(fault) for fault in faults]
    return document
