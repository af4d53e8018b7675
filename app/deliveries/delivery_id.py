"""Converts the numbers of deliveries to opaque ids, which sort like the numbers."""

from base64 import b32hexdecode, b32hexencode

from app.errors import DeliveryNotFound

_PREFIX = "dlv_"
_NUMBER_BYTES = 8
_CHARACTERS = 13
_PADDING = "==="
_HIGHEST = 2**63 - 1  # SQLite's largest integer


def delivery_id(number: int) -> str:
    """Return the id of the delivery with the number `number`."""
    text = b32hexencode(number.to_bytes(_NUMBER_BYTES)).decode("ascii")
    return _PREFIX + text.removesuffix(_PADDING).lower()


def delivery_number(text: str) -> int:
    """Return the number of the delivery with the id `text`.

    Raises DeliveryNotFound if `text` isn't in the form of an id.
    """
    number = _number(text)
    if number is None or number > _HIGHEST or delivery_id(number) != text:
        raise DeliveryNotFound("No delivery has this id.")
    return number


def _number(text: str) -> int | None:
    encoded = text.removeprefix(_PREFIX)
    if len(encoded) != _CHARACTERS:
        return None
    try:
        return int.from_bytes(b32hexdecode(encoded.upper() + _PADDING))
    except ValueError:
        return None
