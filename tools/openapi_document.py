"""The OpenAPI 3.1 description of the API: app/web/openapi.yaml, which GET /openapi.json serves."""

import re
from copy import deepcopy
from typing import Any

import yaml
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema
from openapi_answers import (
    COMPONENTS,
    LIMIT_HEADERS,
    REQUEST_ID,
    answer,
    problem,
    reference,
    share,
)
from openapi_deliveries import delivery_paths
from openapi_reading import reading_paths

from app.deliveries.schemas import DeliverySchema, EndpointSchema, EndpointTestSchema
from app.intake.json_schemas import JSONMailSchema
from app.reading.schemas import MessageSchema
from app.version import __version__
from app.web.delivery_parameters import ReplayRequestSchema
from app.web.inbound import RULES
from app.web.message_parameters import MessageIdsSchema
from app.web.schemas import (
    DeletionResultsSchema,
    DeliveryPageSchema,
    EndpointListSchema,
    HealthSchema,
    MessagePageSchema,
    ProblemSchema,
    ReadySchema,
    ReceiptSchema,
    ReplaySchema,
    TotalsSchema,
)

ABOUT = """\
Receives mail, makes it durable, then answers. Every error but the 503 of an unhealthy /health is a
problem document (RFC 9457), whose `code` is stable. An unknown path is answered 404 `not_found`, a
method that is not described here 405 `method_not_allowed` with the header `Allow`, and a request
that is not valid HTTP/1.1 400 `bad_request` or 415 `unsupported_media_type`, whatever its path.
"""
SCHEMAS: dict[str, type[Schema]] = {
    "JSONMail": JSONMailSchema,
    "Receipt": ReceiptSchema,
    "MessagePage": MessagePageSchema,
    "Message": MessageSchema,
    "MessageIds": MessageIdsSchema,
    "DeletionResults": DeletionResultsSchema,
    "DeliveryPage": DeliveryPageSchema,
    "Delivery": DeliverySchema,
    "ReplayRequest": ReplayRequestSchema,
    "Replay": ReplaySchema,
    "Endpoint": EndpointSchema,
    "EndpointList": EndpointListSchema,
    "EndpointTest": EndpointTestSchema,
    "Health": HealthSchema,
    "Ready": ReadySchema,
    "Totals": TotalsSchema,
    "Problem": ProblemSchema,
}
OPTIONAL = {"reasons", "errors"}
REQUESTS = {"JSONMail", "Connection", "Attachment", "MessageIds", "ReplayRequest"}
TAKEN_FROM = "If absent: the value in the JSON body, else {}."
ENVELOPE = {
    "X-Original-Sender": "Envelope sender; present but empty means the null sender. "
    + TAKEN_FROM.format("X-Original-Mail-From, else the message's From"),
    "X-Original-Mail-From": "The sender that the SMTP client gave. Used, and checked, when there is"
    " no other sender; otherwise stored as it is.",
    "X-Original-Recipient": "Envelope recipient, one address. "
    + TAKEN_FROM.format("the message's To"),
    "X-Original-Client-Address": "Address of the SMTP client.",
    "X-Original-Client-Hostname": "Name of the SMTP client.",
    "X-Original-Helo": "The SMTP client's argument to HELO or EHLO.",
    "X-Original-Queue-Id": "The relay's queue id; with the recipient, it identifies the message "
    "if there is no Idempotency-Key.",
    "Idempotency-Key": "With the recipient, it identifies the message.",
}


def openapi_document() -> str:
    """Return app/web/openapi.yaml."""
    return yaml.dump(description(), sort_keys=False, allow_unicode=True, Dumper=_NoAliases)


def description() -> dict[str, Any]:
    """Return the OpenAPI document as an object."""
    spec = APISpec(
        title="GoMail",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": ABOUT, "license": {"name": "MIT", "identifier": "MIT"}},
        plugins=[MarshmallowPlugin(schema_name_resolver=_name)],
    )
    for name, schema in SCHEMAS.items():
        spec.components.schema(name, schema=schema)
    for path in RULES:
        spec.path(path, operations={"post": _inbound(path), "options": _options(path)})
    for path, of_path in (reading_paths() | delivery_paths()).items():
        spec.path(path, operations=of_path | {"options": _options(path)})
    for path, operation in _probes().items():
        head = operation | {"operationId": f"{operation['operationId']}Head"}
        operations = {"get": operation, "head": head, "options": _options(path)}
        spec.path(path, operations=operations)
    document = spec.to_dict()
    _close(document["components"]["schemas"])
    document["components"] |= deepcopy(COMPONENTS)
    share(document)
    return document


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, _data: object) -> bool:
        """Write what occurs twice twice: not every reader of YAML follows aliases."""
        return True


def _name(schema: Schema | type[Schema]) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")


def _close(schemas: dict[str, dict[str, Any]]) -> None:
    for name, schema in schemas.items():
        schema["additionalProperties"] = False
        if name not in REQUESTS:
            schema["required"] = [each for each in schema["properties"] if each not in OPTIONAL]
    for name in ("Receipt", "Ready"):
        status = schemas[name]["properties"]["status"]
        schemas[name]["properties"]["status"] = {"type": "string", "const": status["default"]}
    schemas["Health"]["properties"]["status"]["enum"] = ["healthy", "unhealthy"]


def _inbound(path: str) -> dict[str, Any]:
    json_or_raw = {"description": "JSON if it begins with a brace, else a raw message (curl)"}
    bodies = {
        "message/rfc822": {"schema": {"description": "The raw message, any bytes"}},
        "message/global": {"schema": {"description": "The same (RFC 6532)"}},
        "application/json": {"schema": reference("schemas", "JSONMail")},
        "application/x-www-form-urlencoded": {"schema": json_or_raw},
    }
    headers = [
        {"name": name, "in": "header", "description": text, "schema": {"type": "string"}}
        for name, text in ENVELOPE.items()
    ]
    return {
        "operationId": "inbound" if path == RULES[0] else "email",
        "summary": "Receive one message",
        "deprecated": path != RULES[0],
        "security": [{"bearer": []}],
        "parameters": [*headers, REQUEST_ID],
        "requestBody": {"required": True, "content": bodies},
        "responses": {
            "200": answer("Receipt", "Stored: it would survive a power cut", LIMIT_HEADERS),
            "400": problem("bad_request", headers=LIMIT_HEADERS),
            "401": problem("unauthorized", headers=[*LIMIT_HEADERS, "WWW-Authenticate"]),
            "403": problem("policy_reject", "forbidden", headers=LIMIT_HEADERS),
            "408": problem("timeout", headers=LIMIT_HEADERS),
            "413": problem("message_too_large", headers=LIMIT_HEADERS),
            "415": problem("unsupported_media_type", headers=LIMIT_HEADERS),
            "422": problem("message_rejected", "recipient_unknown", headers=LIMIT_HEADERS),
            "429": problem("rate_limited", headers=[*LIMIT_HEADERS, "Retry-After"]),
            "500": problem("internal_error", headers=LIMIT_HEADERS),
            "503": problem(
                "shutting_down", "storage_unavailable", headers=[*LIMIT_HEADERS, "Retry-After"]
            ),
        },
    }


def _probes() -> dict[str, dict[str, Any]]:
    unavailable = problem("shutting_down", "storage_unavailable", headers=["Retry-After"])
    draining = problem("shutting_down", headers=["Retry-After"])
    unhealthy = answer("Health", "Unhealthy, or a problem: shutting down")
    unhealthy["content"] |= draining["content"]
    unhealthy["headers"] |= draining["headers"]
    described = {"type": "object", "required": ["openapi", "info", "paths", "components"]}
    description = answer("Ready", "This description")
    description["content"]["application/json"]["schema"] = described
    return {
        "/health": _probe(
            "health",
            "Report whether this process serves and can store",
            {"200": answer("Health", "Healthy"), "503": unhealthy},
        ),
        "/ready": _probe(
            "ready",
            "Report whether mail should be sent here now",
            {"200": answer("Ready", "Yes"), "503": unavailable},
        ),
        "/metrics": _probe(
            "metrics",
            "Human-readable totals since the server started; Prometheus uses a separate port",
            {"200": answer("Totals", "Summed over all workers"), "503": draining},
        ),
        "/openapi.json": _probe(
            "openapi", "Describe the API", {"200": description, "503": draining}
        ),
    }


def _probe(name: str, summary: str, answers: dict[str, dict[str, Any]]) -> dict[str, Any]:
    failures = {"400": problem("bad_request"), "500": problem("internal_error")}
    return {
        "operationId": name,
        "summary": summary,
        "parameters": [REQUEST_ID],
        "responses": dict(sorted((answers | failures).items())),
    }


def _options(path: str) -> dict[str, Any]:
    takes_api_token = path in reading_paths() or path in delivery_paths()
    is_limited = path in RULES or takes_api_token
    limits = LIMIT_HEADERS if is_limited else []
    scheme = "api" if takes_api_token else "bearer"
    allowed = {
        "description": "No content; the Allow header lists the methods",
        "headers": {
            name: reference("headers", name) for name in ["X-Request-ID", "Allow", *limits]
        },
    }
    failures = {
        "400": problem("bad_request", headers=limits),
        "500": problem("internal_error", headers=limits),
        "503": problem("shutting_down", headers=["Retry-After"]),
    }
    if is_limited:
        failures["401"] = problem("unauthorized", headers=[*limits, "WWW-Authenticate"])
        failures["403"] = problem("forbidden", headers=limits)
        failures["429"] = problem("rate_limited", headers=[*limits, "Retry-After"])
    return {
        **({"security": [{scheme: []}]} if is_limited else {}),
        "operationId": f"options{re.sub('[^A-Za-z]', '', path.title())}",
        "summary": "List the methods of this path",
        "parameters": [*_in_path(path), REQUEST_ID],
        "responses": dict(sorted(({"200": allowed} | failures).items())),
    }


def _in_path(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall("{([a-z]+)}", path)
    ]
