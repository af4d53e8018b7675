"""Mail handed over as JSON: the request's fields, and what they mean."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Never

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from app.errors import BadRequest, FieldFault
from app.intake.envelope import PartialEnvelope
from app.intake.headers import MAX_SUBJECT_CHARACTERS
from app.printable import UNPRINTABLE
from app.storage.message import Connection

MAX_STRUCTURE_BYTES = 64 * 1024
"""How much of a JSON body may lie outside of strings: a list of 35 MB would take a gigabyte."""

_STRINGS = re.compile(rb'(?:"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z))++', re.DOTALL)
_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True)
class JSONMail:
    """A message, raw or in parts: without `raw` one is composed of `subject` and `text`."""

    envelope: PartialEnvelope
    raw: bytes | None
    subject: str
    text: str


class _Refused(ValueError):
    """JSON that the standard library would take."""


class _Text(fields.String):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if _SURROGATE.search(text):
            raise ValidationError("Holds half of a surrogate pair, which is no character.")
        return text


class _Line(_Text):
    def _deserialize(self, value: Any, attr: Any, data: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, attr, data, **kwargs)
        if UNPRINTABLE.search(text):
            raise ValidationError("Has to be one line without control characters.")
        return text


class ConnectionSchema(Schema):
    """The SMTP client, as the relay saw it."""

    client_address = _Line(allow_none=True)
    client_hostname = _Line(allow_none=True)
    client_helo = _Line(allow_none=True)


class JSONMailSchema(Schema):
    """The body of a JSON request; fields that aren't listed here are passed over."""

    class Meta:
        """Newer clients may send more than this version knows."""

        unknown = EXCLUDE

    sender = _Line(allow_none=True, metadata={"description": "Envelope sender; empty: null sender"})
    recipient = _Line(allow_none=True, metadata={"description": "Envelope recipient"})
    from_ = _Line(data_key="from", allow_none=True, metadata={"description": "Same as sender"})
    to = _Line(allow_none=True, metadata={"description": "Same as recipient"})
    raw = _Text(allow_none=True, metadata={"description": "The message as text, sent in UTF-8"})
    raw_base64 = _Text(allow_none=True, metadata={"description": "The message in Base64"})
    subject = _Line(
        allow_none=True,
        validate=validate.Length(max=MAX_SUBJECT_CHARACTERS),
        metadata={"description": "Without a raw message: the subject of the one composed"},
    )
    body = _Text(
        allow_none=True,
        metadata={"description": "Without a raw message: the text of the one composed"},
    )
    connection = fields.Nested(
        ConnectionSchema(unknown=EXCLUDE),
        allow_none=True,
        metadata={"description": "The SMTP client, as the relay saw it"},
    )


_SCHEMA = JSONMailSchema()


def decode_json_mail(data: bytes) -> JSONMail:
    """Return the message that `data` describes; raises BadRequest with every fault found."""
    document = _decode_object(data)
    try:
        given = _SCHEMA.load(document)
    except ValidationError as error:
        raise BadRequest("Fields of the JSON body are wrong.", _faults(error)) from error
    given = {name: value for name, value in given.items() if value is not None}
    _refuse_raw_and_parts(given)
    return JSONMail(
        envelope=_envelope(given),
        raw=_raw(given),
        subject=given.get("subject", ""),
        text=given.get("body", ""),
    )


def _decode_object(data: bytes) -> dict[str, Any]:
    if _is_overgrown(data):
        raise BadRequest("The JSON body has more in it than the members of a message.")
    try:
        document = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant
        )
    except RecursionError as error:
        raise BadRequest("The JSON body is nested too deeply.") from error
    except ValueError as error:
        raise BadRequest(f"The body is no valid JSON: {_reason(error)}") from error
    if not isinstance(document, dict):
        raise BadRequest("The JSON body has to be an object.")
    return document


def _is_overgrown(data: bytes) -> bool:
    outside = end = 0
    for strings in _STRINGS.finditer(data):
        outside += strings.start() - end
        end = strings.end()
        if outside > MAX_STRUCTURE_BYTES:
            return True
    return outside + len(data) - end > MAX_STRUCTURE_BYTES


def _reason(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}."
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} isn't UTF-8."
    return str(error) if isinstance(error, _Refused) else "a number is too large."


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _Refused("a name occurs twice in one object.")
    return members


def _refuse_constant(name: str) -> Never:
    raise _Refused(f"{name} is no JSON number.")


def _faults(error: ValidationError) -> list[FieldFault]:
    by_field: dict[str, Any] = error.messages_dict
    return [
        FieldFault(name if inner in {"", "_schema"} else f"{name}.{inner}", " ".join(messages))
        for name, found in by_field.items()
        for inner, messages in (found.items() if isinstance(found, dict) else [("", found)])
    ]


def _refuse_raw_and_parts(given: Mapping[str, Any]) -> None:
    raw = [name for name in ("raw", "raw_base64") if name in given]
    parts = [name for name in ("subject", "body") if name in given]
    if len(raw) == 2 or (raw and parts):
        names = " and ".join(raw + parts)
        raise BadRequest(
            f"{names} contradict each other: give raw, or raw_base64, or subject and body.",
            [FieldFault(name, "Contradicts another field.") for name in raw + parts],
        )


def _envelope(given: Mapping[str, Any]) -> PartialEnvelope:
    client = given.get("connection", {})
    return PartialEnvelope(
        sender=_either(given, "sender", "from_"),
        recipient=_either(given, "recipient", "to"),
        connection=Connection(
            client_address=client.get("client_address"),
            client_hostname=client.get("client_hostname"),
            helo=client.get("client_helo"),
        ),
    )


def _either(given: Mapping[str, Any], name: str, synonym: str) -> str | None:
    value: str | None = given.get(name, given.get(synonym))
    if given.get(synonym, value) != value:
        other = synonym.rstrip("_")
        raise BadRequest(
            f"{name} and {other} contradict each other: give one of them.",
            [
                FieldFault(name, f"Differs from {other}."),
                FieldFault(other, f"Differs from {name}."),
            ],
        )
    return value


def _raw(given: Mapping[str, Any]) -> bytes | None:
    if "raw" in given:
        return str(given["raw"]).encode()
    if "raw_base64" not in given:
        return None
    try:
        # Line breaks are common in Base64 (RFC 2045 section 6.8), other characters are faults.
        return base64.b64decode("".join(given["raw_base64"].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadRequest(
            "raw_base64 is no valid Base64.", [FieldFault("raw_base64", str(error))]
        ) from error
