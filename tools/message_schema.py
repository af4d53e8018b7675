"""Writes app/reading/message.schema.json, the JSON Schema of a message, which is shipped."""

import json
import re
from typing import Any

from openapi_document import description

_REFERENCE = re.compile(r"#/components/schemas/(\w+)")


def message_schema() -> str:
    """Return app/reading/message.schema.json."""
    schemas = description()["components"]["schemas"]
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "urn:gomail:schema:message",
        "title": "Message",
        **schemas["Message"],
        "$defs": {name: schemas[name] for name in sorted(_needed("Message", schemas))},
    }
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return _REFERENCE.sub(r"#/$defs/\1", text) + "\n"


def _needed(name: str, schemas: dict[str, Any]) -> set[str]:
    """Return the names of the schemas that the schema `name` refers to, directly or not."""
    names = set(_REFERENCE.findall(json.dumps(schemas[name])))
    return names.union(*(_needed(each, schemas) for each in names))
