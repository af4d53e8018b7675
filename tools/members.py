"""Writes tables of the members of JSON objects and the parameters of routes."""

from typing import Any

from marshmallow import Schema, fields

_TYPES = {
    fields.AwareDateTime: "time (ISO 8601)",
    fields.Boolean: "boolean",
    fields.Constant: "text",
    fields.Float: "number",
    fields.Integer: "whole number",
    fields.List: "list",
    fields.Nested: "object",
}


def members(schema: Schema, heading: str = "member") -> str:
    """Return a table with a row for each field of `schema`."""
    rows = [
        f"| `{field.data_key or name}` | {_type(field)} | {field.metadata.get('description', '')} |"
        for name, field in schema.fields.items()
    ]
    return "\n".join([f"| {heading} | type | |", "|---|---|---|", *rows, ""])


def _type(field: fields.Field[Any]) -> str:
    return next((name for kind, name in _TYPES.items() if isinstance(field, kind)), "text")
