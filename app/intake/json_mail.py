"""Mail sent as JSON: the members of the request, and what they mean."""

import base64
import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import ValidationError

from app.errors import BadRequest, FieldFault
from app.intake.compose import Attachment
from app.intake.envelope import PartialEnvelope
from app.intake.json_object import decode_object
from app.intake.json_schemas import AttachmentSchema, ConnectionSchema, JSONMailSchema
from app.mime.addresses import find_addresses, named_address
from app.storage.message import SMTPClient

_RAW = ("raw", "raw_base64")
_PARTS = ("subject", "text", "body", "html", "attachments")
_SCHEMA = JSONMailSchema()
_INNER = {"connection": ConnectionSchema(), "attachments": AttachmentSchema()}


@dataclass(frozen=True)
class JSONMail:
    """A message, raw or in parts: without `raw` one is composed of the others."""

    envelope: PartialEnvelope
    raw: bytes | None = None
    subject: str = ""
    text: str | None = None
    html: str | None = None
    attachments: tuple[Attachment, ...] = ()


def decode_json_mail(data: bytes) -> JSONMail:
    """Return the message that `data` describes; raises BadRequest with every fault found."""
    document = decode_object(data)
    try:
        loaded = _SCHEMA.load(document)
    except ValidationError as error:
        raise BadRequest("Members of the JSON body are wrong.", _faults(error)) from error
    given = {name: value for name, value in loaded.items() if _says_something(name, value)}
    _refuse_raw_and_parts(given)
    return JSONMail(
        envelope=_envelope(given),
        raw=_raw(given),
        subject=given.get("subject", ""),
        text=_same(given, "text", "body"),
        html=given.get("html"),
        attachments=tuple(
            _attachment(number, each) for number, each in enumerate(given.get("attachments", []))
        ),
    )


def _says_something(name: str, value: object) -> bool:
    """Return whether a member was given: null and "" count as absent, except for a sender."""
    return value is not None and (value not in ("", []) or name in {"sender", "from_"})


def _faults(error: ValidationError) -> list[FieldFault]:
    return list(_flat("", error.messages_dict))


def _flat(path: str, found: Any) -> Iterable[FieldFault]:
    if not isinstance(found, dict):
        yield FieldFault(path, " ".join(_explained(path, message) for message in found))
        return
    for name, inner in found.items():
        yield from _flat(path if name == "_schema" else f"{path}.{name}".lstrip("."), inner)


def _explained(path: str, message: str) -> str:
    if message != "Unknown field.":
        return message
    outer, *rest = path.split(".")
    known = _INNER[outer] if rest and outer in _INNER else _SCHEMA
    names = [field.data_key or name for name, field in known.fields.items()]
    [nearest] = difflib.get_close_matches(path.rpartition(".")[2].lower(), names, n=1, cutoff=0)
    return f"Is not a known member. The nearest one is {nearest}."


def _refuse_raw_and_parts(given: Mapping[str, Any]) -> None:
    raw = [name for name in _RAW if name in given]
    parts = [name for name in _PARTS if name in given]
    if len(raw) == 2 or (raw and parts):
        names = " and ".join(raw + parts)
        raise BadRequest(
            f"{names} contradict each other: give raw, or raw_base64, or the parts of a message.",
            [FieldFault(name, "Contradicts another member.") for name in raw + parts],
        )


def _envelope(given: Mapping[str, Any]) -> PartialEnvelope:
    client = given.get("connection", {})
    return PartialEnvelope(
        sender=_address("sender", _same(given, "sender", "from_")),
        recipient=_address("recipient", _same(given, "recipient", "to")),
        connection=SMTPClient(
            client_address=client.get("client_address") or None,
            client_hostname=client.get("client_hostname") or None,
            helo=client.get("client_helo") or None,
        ),
    )


def _address(field: str, text: str | None) -> str | None:
    """Return `text` without the display name that it may have here."""
    if not text:
        return text
    if len(find_addresses(text)) > 1:
        raise BadRequest(
            f"The {field} must be one address: send one {field} per request.",
            [FieldFault(field, "Holds more than one address.")],
        )
    return named_address(text) or text


def _same(given: Mapping[str, Any], name: str, synonym: str) -> str | None:
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
    return _from_base64("raw_base64", given["raw_base64"]) if "raw_base64" in given else None


def _attachment(number: int, given: Mapping[str, Any]) -> Attachment:
    return Attachment(
        content=_from_base64(f"attachments.{number}.content_base64", given["content_base64"]),
        filename=given.get("filename") or None,
        content_type=given.get("content_type") or None,
        content_id=given.get("content_id") or None,
    )


def _from_base64(field: str, text: str) -> bytes:
    try:
        # Line breaks are common in Base64 (RFC 2045 section 6.8), other characters are faults.
        return base64.b64decode("".join(text.split()), validate=True)
    except ValueError as error:
        raise BadRequest(
            f"{field} is not valid Base64.", [FieldFault(field, f"{error}.")]
        ) from error
