"""The JSON Schema of what endpoints get: docs/payload.schema.json, and a copy that is shipped."""

import json
import re
from typing import Any

from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema

from app.deliveries.payload_schemas import PayloadSchema

_REFERENCE = re.compile(r"#/components/schemas/(\w+)")


def payload_schema() -> str:
    """Return payload.schema.json."""
    schemas = _schemas()
    payload = schemas.pop("Payload")
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:gomail:schema:payload",
        "title": "Payload",
        **payload,
        "$defs": dict(sorted(schemas.items())),
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _REFERENCE.sub(r"#/$defs/\1", text) + "\n"


def _schemas() -> dict[str, dict[str, Any]]:
    """Return each schema by its name; all of their members are required, and others may come."""
    plugin = MarshmallowPlugin(schema_name_resolver=_name)
    spec = APISpec(title="", version="", openapi_version="3.1.0", plugins=[plugin])
    spec.components.schema("Payload", schema=PayloadSchema)
    schemas: dict[str, dict[str, Any]] = spec.to_dict()["components"]["schemas"]
    for each in schemas.values():
        each["additionalProperties"] = True
        each["required"] = list(each["properties"])
    return schemas


def _name(schema: Schema | type[Schema]) -> str:
    kind = schema if isinstance(schema, type) else type(schema)
    return kind.__name__.removesuffix("Schema")
