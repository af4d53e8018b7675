"""Errors of the inbox page, as pages."""

from collections.abc import Mapping
from typing import Any

from flask import Response

from app.web.inbox.rendering import render

_FOR_PEOPLE = {
    "rate_limited": "Too many requests: wait a few seconds, then reload the page.",
    "method_not_allowed": "This page can't be used in this way.",
}
"""In place of details that are about headers."""


def error_page(document: Mapping[str, Any]) -> Response:
    """Return the page for a problem document."""
    detail = _FOR_PEOPLE.get(document["code"], document["detail"])
    return render("error.html", document["status"], problem=document, detail=detail)
