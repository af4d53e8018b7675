"""Requests that schemathesis draws from the description of the API, sent to a real server."""

from typing import Any

import pytest
import schemathesis
import yaml
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.rounds import rounds
from support.server import CHECKOUT, Server

pytestmark = [
    pytest.mark.thorough,
    pytest.mark.promise("the API does what its description says"),
]

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\n\r\nHello\r\n"

for media_type in ("message/rfc822", "message/global"):
    schemathesis.openapi.media_type(
        media_type, st.binary() | st.just(MESSAGE) | st.binary().map(lambda tail: MESSAGE + tail)
    )
document = yaml.safe_load((CHECKOUT / "app" / "web" / "openapi.yaml").read_text(encoding="utf-8"))
api = schemathesis.openapi.from_dict(document)


@pytest.mark.parametrize("with_token", rounds([True, False], [True]))
@api.parametrize()
@settings(max_examples=rounds(75, 10), suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(
    case: schemathesis.Case[Any], shared_server: Server, with_token: bool
) -> None:
    """Status, headers, type and body are those of the description, and none is a 500."""
    takes_api_token = case.path.startswith(("/messages", "/deliveries", "/replays", "/endpoints"))
    token = shared_server.api_token if takes_api_token else shared_server.token
    headers = {"Authorization": f"Bearer {token}"} if with_token else None
    shorten_wait(case)
    case.call_and_validate(base_url=shared_server.url, headers=headers, checks=CHECKS)


def shorten_wait(case: schemathesis.Case[Any]) -> None:
    """Make a drawn wait of 2 to 20 s one of 1 s: it's a right answer that comes too late here."""
    query = case.query or {}
    if str(query.get("wait")) in {str(seconds) for seconds in range(2, 21)}:
        query["wait"] = 1


def test_the_requests_got_everywhere(shared_server: Server) -> None:
    """What was drawn before was taken in as well as refused."""
    statuses = shared_server.scrape().by("status", "http_requests_total", endpoint="/mail/inbound")
    assert {"200", "400", "422"} <= statuses.keys()
    assert "500" not in statuses
    for endpoint in ("/messages", "/messages/delete", "/deliveries"):
        statuses = shared_server.scrape().by("status", "http_requests_total", endpoint=endpoint)
        assert {"200", "400"} <= statuses.keys()
        assert "500" not in statuses
