"""Builds the OpenAPI operations of routes that need an api_token."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

from openapi_answers import LIMIT_HEADERS, REQUEST_ID, problem, reference

Operations = dict[str, dict[str, Any]]

# Without problems, since a request may be refused before it reaches the application.
HEADERS = [*LIMIT_HEADERS, "Cache-Control"]
NOT_FOUND = {"404": problem("not_found", headers=LIMIT_HEADERS)}
BODY_FAILURES = {
    "408": problem("timeout", headers=LIMIT_HEADERS),
    "413": problem("message_too_large", headers=LIMIT_HEADERS),
    "415": problem("unsupported_media_type", headers=LIMIT_HEADERS),
}


def with_body(operation: dict[str, Any], schema: str) -> dict[str, Any]:
    """Return `operation` with a JSON body of the schema named `schema`."""
    content = {"application/json": {"schema": reference("schemas", schema)}}
    return operation | {"requestBody": {"required": True, "content": content}}


def get(operation: dict[str, Any]) -> Operations:
    """Return the operations GET and HEAD, which is like GET without a range."""
    answers = {
        status: each
        for status, each in operation["responses"].items()
        if status not in {"206", "416"}
    }
    head = operation | {
        "operationId": f"{operation['operationId']}Head",
        "parameters": deepcopy(operation["parameters"]),  # apispec changes them
        "responses": answers,
    }
    return {"get": operation, "head": head}


def operation(
    name: str,
    summary: str,
    answers: Mapping[str, dict[str, Any]],
    parameters: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Return an operation; `answers` are added to those that all operations have."""
    failures = {
        "400": problem("bad_request", headers=LIMIT_HEADERS),
        "401": problem("unauthorized", headers=[*LIMIT_HEADERS, "WWW-Authenticate"]),
        "403": problem("forbidden", headers=LIMIT_HEADERS),
        "429": problem("rate_limited", headers=[*LIMIT_HEADERS, "Retry-After"]),
        "500": problem("internal_error", headers=LIMIT_HEADERS),
        "503": problem(
            "shutting_down", "storage_unavailable", headers=[*LIMIT_HEADERS, "Retry-After"]
        ),
    }
    return {
        "operationId": name,
        "summary": summary,
        "security": [{"api": []}],
        "parameters": [*parameters, REQUEST_ID],
        "responses": dict(sorted((dict(answers) | failures).items())),
    }


def in_path(name: str) -> dict[str, Any]:
    """Return a parameter in the path."""
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def in_header(name: str, description: str) -> dict[str, Any]:
    """Return a parameter in a header."""
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}
