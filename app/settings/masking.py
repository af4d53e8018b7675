"""Hides secrets in the values of a configuration."""

from collections.abc import Callable, Mapping
from typing import Any

from app.settings.endpoints import with_defaults
from app.settings.object_store_url import shown_object_store_url
from app.settings.schema import Property, is_object_list, properties
from app.settings.webhook_secret import holds_secret
from app.settings.webhook_url import shown_url

HIDDEN = "***"
_LARGEST_NUMBER = 10**18
# URLs that may contain a password, in the wrong place, and how they are shown.
_SHOWN: Mapping[str, Callable[[str], str]] = {
    "gomail-webhook-url": shown_url,
    "gomail-object-store-endpoint": shown_url,
    "gomail-object-store-url": shown_object_store_url,
}


def flat(value: object) -> bool:
    """Return whether `value` is a scalar of ordinary size, or a list of such scalars."""
    return all(map(_is_scalar, value)) if isinstance(value, list) else _is_scalar(value)


def masked(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` safe to show: secrets as "***", values of the wrong form as None."""
    return {key: _masked(properties()[key], value) for key, value in values.items()}


def may_be_quoted(known: Property, value: object) -> bool:
    """Return whether a fault may quote the wrong value of a key."""
    if known.get("writeOnly") or known.get("format") in _SHOWN:
        return False
    texts = value if isinstance(value, list) else [value]
    return not any(isinstance(text, str) and holds_secret(text) for text in texts)


def _masked(known: Property, value: Any) -> Any:
    if is_object_list(known):
        return _masked_items(known, value) if isinstance(value, list) else None
    if value is None or not flat(value):
        return None
    if isinstance(value, list):
        return [_masked_scalar(known, item) for item in value]
    return _masked_scalar(known, value)


def _masked_scalar(known: Property, value: Any) -> Any:
    show = _SHOWN.get(known.get("format", ""))
    if show and isinstance(value, str):
        return show(value)
    return value if may_be_quoted(known, value) else HIDDEN


def _masked_items(known: Property, items: list[Any]) -> list[Any]:
    members = known["items"]["properties"]
    return [
        {name: _masked(members[name], value) for name, value in with_defaults(item).items()}
        if isinstance(item, dict)
        else None
        for item in items
    ]


def _is_scalar(value: object) -> bool:
    if isinstance(value, int | float):
        return abs(value) <= _LARGEST_NUMBER
    return value is None or isinstance(value, str)
