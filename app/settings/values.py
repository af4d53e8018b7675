"""Converts the values that people write to the types in the schema, without checking them."""

import re
from typing import Any

from app.settings.schema import Property, is_object_list, is_size
from app.settings.webhook_secret import split_secrets

_TRUTH = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_SIZE = re.compile(r"([0-9]{1,15})\s*(?:([kmgt])(i?)b?|b)", re.ASCII | re.IGNORECASE)


def from_text(known: Property, text: str) -> object:
    """Return the text of a flag or variable converted to the type of its key.

    Text that can't be converted is returned unchanged. Commas separate tokens.
    """
    text = text.strip()
    if known.get("format") == "gomail-webhook-secret":
        secrets = split_secrets(text)
        return secrets if len(secrets) > 1 else text
    if known["type"] == "integer" and _WHOLE_NUMBER.fullmatch(text):
        return int(text)
    if "array" in known["type"] and isinstance(known["type"], list):
        return _items(text) if "," in text else text
    return from_file(known, text)


def from_file(known: Property, value: object) -> object:
    """Return a value from the file converted to the type of its key, or unchanged if that fails.

    Only text is converted, and only a size to a number: other numbers need no quotes. A list of
    mappings is converted member by member.
    """
    if is_object_list(known):
        items = value if isinstance(value, list) else []
        return [_converted(known["items"]["properties"], item) for item in items] or value
    if not isinstance(value, str):
        return value
    if known["type"] == "boolean":
        return _TRUTH.get(value.strip().lower(), value)
    if known["type"] == "array":
        return _items(value)
    if "enum" in known:
        return value.strip().lower() if value.strip().lower() in known["enum"] else value
    return _size(value) if is_size(known) else value


def _converted(members: Property, item: object) -> object:
    """Return the members of `item` that aren't null, converted; an item of any other kind as is."""
    if not isinstance(item, dict):
        return item
    given: dict[Any, object] = {name: value for name, value in item.items() if value is not None}
    return {
        name: from_file(members[name], value) if name in members else value
        for name, value in given.items()
    }


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _size(text: str) -> int | str:
    size = _SIZE.fullmatch(text.strip())
    if size is None:
        return text
    number, prefix, is_binary = size.groups()
    power = " kmgt".index((prefix or " ").lower())
    return int(number) * int((1024 if is_binary else 1000) ** power)
