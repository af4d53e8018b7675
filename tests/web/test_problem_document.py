from http import HTTPStatus

import pytest

from app.errors import ERRORS, FieldFault
from app.web.problem_document import problem_document


@pytest.mark.parametrize("code", ERRORS)
def test_each_code_makes_a_whole_document(code: str) -> None:
    """All members of RFC 9457 and of ours are there, and the status is one that exists."""
    document = problem_document(code, "What is wrong.", "an-id")
    assert document == {
        "type": f"urn:gomail:problem:{code}",
        "title": document["title"],
        "status": HTTPStatus(ERRORS[code].status),
        "detail": "What is wrong.",
        "code": code,
        "request_id": "an-id",
    }
    assert document["title"][0].isupper()
    assert "_" not in document["title"]


def test_faults_are_listed() -> None:
    """Several faults stand one by one under `errors`; without any there is no such member."""
    faults = [FieldFault("sender", "is missing"), FieldFault("recipient", "is missing")]
    document = problem_document("bad_request", "Faults.", "an-id", faults)
    assert document["errors"] == [
        {"field": "sender", "message": "is missing"},
        {"field": "recipient", "message": "is missing"},
    ]
