"""The answers of the API, as OpenAPI describes them: headers, problems, and what both refer to."""

import re
from collections.abc import Sequence
from typing import Any

from app.errors import ERRORS

LIMIT_HEADERS = [
    "X-RateLimit-Limit",
    "X-RateLimit-Remaining",
    "X-RateLimit-Reset",
    "RateLimit-Policy",
    "RateLimit",
]

REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Used in the answer and the log if it is at most 128 characters of printable"
    " ASCII.",
    "schema": {"type": "string"},
}


def reference(kind: str, name: str) -> dict[str, str]:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def answer(schema: str, description: str, headers: Sequence[str] = ()) -> dict[str, Any]:
    """Return an answer in JSON."""
    content = {"application/json": {"schema": reference("schemas", schema)}}
    return _answer(description, headers, content)


def bytes_answer(description: str, headers: Sequence[str], types: Sequence[str]) -> dict[str, Any]:
    """Return an answer whose body is bytes of one of `types`."""
    return _answer(description, headers, {each: {"schema": {}} for each in types})


def empty_answer(description: str, headers: Sequence[str] = ()) -> dict[str, Any]:
    """Return an answer without a body."""
    described = _answer(description, headers, {})
    del described["content"]
    return described


def problem(*codes: str, headers: Sequence[str] = ()) -> dict[str, Any]:
    """Return the answer with one of `codes`, which have the same status."""
    schema = {
        "allOf": [reference("schemas", "Problem")],
        "properties": {
            "status": {"const": ERRORS[codes[0]].status},
            "code": {"enum": list(codes)},
            "type": {"enum": [f"urn:gomail:problem:{code}" for code in codes]},
        },
    }
    content = {"application/problem+json": {"schema": schema}}
    return _answer(", ".join(f"`{code}`" for code in codes), headers, content)


def share(document: dict[str, Any]) -> None:
    """Keep each problem answer of `document` once, below components, and refer to it elsewhere."""
    shared = document["components"]["responses"]
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                codes = re.findall("`([a-z_]+)`", response["description"])
                if codes:
                    name = "Or".join(map(_camel_case, codes))
                    name += "Limited" if "RateLimit" in response["headers"] else ""
                    shared.setdefault(name, response)
                    operation["responses"][status] = reference("responses", name)


def _camel_case(code: str) -> str:
    return code.title().replace("_", "")


def _answer(description: str, headers: Sequence[str], content: dict[str, Any]) -> dict[str, Any]:
    names = ["X-Request-ID", *headers]
    return {
        "description": description,
        "headers": {name: reference("headers", name) for name in names},
        "content": content,
    }


def _header(schema: dict[str, Any], description: str, *, required: bool) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": schema}


def _limit(schema: dict[str, Any], description: str) -> dict[str, Any]:
    return _header(schema, f"{description} Absent when no rate limit is set.", required=False)


_NUMBER = {"type": "integer", "minimum": 0}
COMPONENTS = {
    "securitySchemes": {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "A bearer_token, which permits delivering messages (RFC 6750)",
        },
        "api": {
            "type": "http",
            "scheme": "bearer",
            "description": "An api_token, which permits reading and deleting messages (RFC 6750)",
        },
    },
    "headers": {
        "X-Request-ID": _header(
            {"type": "string", "minLength": 1, "maxLength": 128},
            "Also on every log line of this request.",
            required=True,
        ),
        "Allow": _header({"type": "string"}, "The methods that this path supports.", required=True),
        "WWW-Authenticate": _header(
            {"type": "string", "const": "Bearer"}, "How to authenticate.", required=True
        ),
        "Retry-After": _header(_NUMBER, "Seconds to wait.", required=True),
        "X-RateLimit-Limit": _limit(_NUMBER, "Requests per minute."),
        "X-RateLimit-Remaining": _limit(_NUMBER, "Requests left right now."),
        "X-RateLimit-Reset": _limit(
            _NUMBER, "When the full burst is available again, in Unix seconds."
        ),
        "RateLimit-Policy": _limit({"type": "string"}, "draft-ietf-httpapi-ratelimit-headers."),
        "RateLimit": _limit({"type": "string"}, "draft-ietf-httpapi-ratelimit-headers."),
        "Cache-Control": _header(
            {"type": "string", "const": "private, no-cache"},
            "Not for shared caches; revalidate each time with If-None-Match.",
            required=True,
        ),
        "ETag": _header({"type": "string"}, "For If-None-Match and If-Range.", required=True),
        "Link": _header(
            {"type": "string"}, 'URL of the next page, with rel="next", if any.', required=False
        ),
        "Try-Later": _header(
            _NUMBER, "Seconds; only if the request didn't wait, as too many do.", required=False
        ),
        "Accept-Ranges": _header(
            {"type": "string", "const": "bytes"}, "A single range is supported.", required=True
        ),
        "Content-Range": _header(
            {"type": "string"}, "The range of bytes, and the size of the message.", required=True
        ),
        "Repr-Digest": _header(
            {"type": "string"}, "SHA-256 of the whole message (RFC 9530).", required=True
        ),
        "Content-Disposition": _header(
            {"type": "string"}, "The name to save it under (RFC 6266).", required=True
        ),
        "X-Content-Type-Options": _header(
            {"type": "string", "const": "nosniff"}, "Don't guess another type.", required=True
        ),
        "Content-Security-Policy": _header(
            {"type": "string", "const": "default-src 'none'; sandbox"},
            "Forbids a browser to load or run anything in it.",
            required=True,
        ),
    },
    "responses": {
        "NotFound": problem("not_found"),
        "MethodNotAllowed": problem("method_not_allowed", headers=["Allow"]),
    },
}
