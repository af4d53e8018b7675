"""Field types for parameters and JSON bodies, and functions that load them.

All faults are reported at once, each with the name of the parameter or member.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, validate
from werkzeug.datastructures import MultiDict

from app.errors import BadRequest, FieldFault

_DIGITS = re.compile(r"[0-9]{1,9}")
LONGEST_TEXT = 1000
SOME_TEXT = validate.Length(min=1, max=LONGEST_TEXT)


def without_space(address: str) -> None:
    """Refuse an unquoted address with a space: a + that is not encoded arrives as one."""
    if " " in address and '"' not in address:
        raise ValidationError("An address has no space in it; write a + as %2B.")


class WholeNumber(fields.Integer):
    """A whole number in ASCII digits, without a sign."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> int:
        if not _DIGITS.fullmatch(value):
            raise ValidationError("Must be a whole number, in digits only.")
        return int(value)


class Moment(fields.AwareDateTime):
    """A date or time in ISO 8601, in UTC unless it has a time zone."""

    def _deserialize(self, value: Any, *_: Any, **__: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value)
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (TypeError, ValueError, OverflowError) as error:
            has_space = isinstance(value, str) and " " in value
            plus = " In a URL, write the + of a time zone as %2B." if has_space else ""
            raise ValidationError(
                f"Must be a time such as 2026-01-31T12:00:00Z, or a date.{plus}"
            ) from error


class NoParameters(Schema):
    """The parameters of routes without parameters."""

    class Meta:
        """Refuses unknown parameters: to ignore a misspelled filter would return too much."""

        unknown = RAISE


def load_query(schema: Schema, query: MultiDict[str, str]) -> Mapping[str, Any]:
    """Return the parameters in a query string; raises BadRequest with every fault found."""
    doubled = [name for name, values in query.lists() if len(values) > 1]
    if doubled:
        raise BadRequest(
            "Each parameter may be given only once.",
            [FieldFault(name, "Is given more than once.") for name in doubled],
        )
    return load(schema, query.to_dict(), "Some parameters in the query string are wrong.")


def load(schema: Schema, given: Mapping[str, Any], detail: str) -> Mapping[str, Any]:
    """Load `given` with `schema`; raises BadRequest with `detail` and every fault found."""
    try:
        loaded: Mapping[str, Any] = schema.load(given)
    except ValidationError as error:
        faults = list(_flat("", error.messages_dict, list(schema.fields)))
        raise BadRequest(detail, faults) from error
    return loaded


def _flat(path: str, found: Any, known: Sequence[str]) -> Iterator[FieldFault]:
    if isinstance(found, dict):
        for name, inner in found.items():
            yield from _flat(f"{path}.{name}".lstrip("."), inner, known)
    else:
        yield FieldFault(path, " ".join(_explained(path, message, known) for message in found))


def _explained(name: str, message: str, known: Sequence[str]) -> str:
    if message != "Unknown field.":
        return message
    if not known:
        return "Is unknown: this route has no parameters."
    [nearest] = difflib.get_close_matches(name[:100].lower(), known, n=1, cutoff=0)
    return f"Is unknown. The nearest name is {nearest}."
