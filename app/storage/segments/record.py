"""What a segment consists of: records that explain themselves. docs/storage.md has the format.

A segment begins with a header, which has its marker: 16 random bytes with which each of its records
begins. Whoever writes a message can't know them, so nothing inside a message can be taken for a
record.
"""

import json
import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from app.storage.ids import milliseconds_since_epoch, moment_of
from app.storage.message import Envelope, Message, SMTPClient

FILE_HEADER = struct.Struct("<14sBB16s")  # magic, version, layout, marker
MAGIC = b"GoMail segment"
VERSION = 1
RECORDS, LARGE_MESSAGE = 1, 2
"""The layouts: one record after another, or the content of one message and then its record."""

_FIELDS = struct.Struct("<16sBBHIQQ")  # marker, version, kind, position, sizes, number
_CHECKSUM = struct.Struct("<I")
HEADER_BYTES = _FIELDS.size + _CHECKSUM.size
MESSAGE, DELETION = 1, 2
MOST_DESCRIPTION_BYTES = 1024 * 1024
DESCRIPTION_BEGINS = b'{"id":'

# A flat JSON object that isn't closed, perhaps in the middle of a string. Each byte fits one place
# only, so no failure takes long; possessive quantifiers are wrong in Python before 3.11.5.
_STRING = rb'"[^"\\\x00-\x1f]*(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*)*'
_OUTSIDE = rb'[^"}\x00-\x1f]*'
_BROKEN_OFF = re.compile(rb'(?:\{%b(?:%b"%b)*(?:%b\\?)?)?' % (_OUTSIDE, _STRING, _OUTSIDE, _STRING))


class MessageRecord(NamedTuple):
    """A message as its record has it; `number` is the order of arrival when it was written."""

    number: int
    message: Message
    size: int
    sha256: bytes


@dataclass(frozen=True)
class Deletion:
    """That a message was deleted, and what is needed to recognize a repeat of it."""

    number: int
    message_id: str
    idempotency_key: str
    received_at_ms: int
    deleted_at_ms: int
    reason: str


Entry = MessageRecord | Deletion


@dataclass(frozen=True)
class Header:
    """A record without its content, whose checksum is right; sizes in bytes.

    `position` is its place among those that were synced together, 0 for the first.
    """

    kind: int
    position: int
    description_bytes: int
    content_bytes: int
    number: int
    description: bytes


def file_header(marker: bytes, layout: int) -> bytes:
    """Return the beginning of a segment."""
    return FILE_HEADER.pack(MAGIC, VERSION, layout, marker)


def description_of(message: Message, sha256: bytes) -> bytes:
    """Return what the record of `message` says about it; raises UnicodeEncodeError."""
    envelope = message.envelope
    client = envelope.connection
    members = {
        "id": message.message_id,
        "received_at_ms": milliseconds_since_epoch(message.received_at),
        "key": message.idempotency_key,
        "sender": envelope.sender,
        "recipient": envelope.recipient,
        "subject": message.subject,
        "sha256": sha256.hex(),
        "mail_from": envelope.mail_from,
        "queue_id": envelope.queue_id,
        "client_address": client.client_address,
        "client_hostname": client.client_hostname,
        "helo": client.helo,
        "endpoints": message.endpoints or None,
    }
    return _encode({name: value for name, value in members.items() if value is not None})


def description_of_deletion(deletion: Deletion) -> bytes:
    """Return what the record of a deletion says."""
    return _encode(
        {
            "id": deletion.message_id,
            "key": deletion.idempotency_key,
            "received_at_ms": deletion.received_at_ms,
            "deleted_at_ms": deletion.deleted_at_ms,
            "reason": deletion.reason,
        }
    )


def _encode(members: Mapping[str, object]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def header(  # noqa: PLR0913, PLR0917 -- one argument for each field
    marker: bytes, kind: int, position: int, description: bytes, content_bytes: int, number: int
) -> bytes:
    """Return the beginning of a record, which its content follows."""
    fields = _FIELDS.pack(marker, VERSION, kind, position, len(description), content_bytes, number)
    checksum = zlib.crc32(description, zlib.crc32(fields))
    return fields + _CHECKSUM.pack(checksum) + description


def parse_header(marker: bytes, data: bytes) -> Header | int | None:
    """Return the header at the beginning of `data`, which goes on beyond it.

    If more of `data` is needed, return how many bytes; None if no record begins there.
    """
    if len(data) < HEADER_BYTES:
        return HEADER_BYTES if marker.startswith(data[:16]) else None
    found, version, kind, position, description_bytes, content_bytes, number = _FIELDS.unpack_from(
        data
    )
    is_sane = version == VERSION and kind in {MESSAGE, DELETION}
    if found != marker or not is_sane or description_bytes > MOST_DESCRIPTION_BYTES:
        return None
    end = HEADER_BYTES + int(description_bytes)
    if len(data) < end:
        return end
    [checksum] = _CHECKSUM.unpack_from(data, _FIELDS.size)
    description = data[HEADER_BYTES:end]
    if zlib.crc32(description, zlib.crc32(data[: _FIELDS.size])) != checksum:
        return None
    return Header(kind, position, description_bytes, content_bytes, number, description)


def is_broken_off(data: bytes) -> bool:
    """Return whether `data`, a file's end that begins like a record, stops within its description.

    Otherwise a whole description is there, or one that is damaged: then its size is wrong.
    """
    return _BROKEN_OFF.fullmatch(data, HEADER_BYTES) is not None


def entry_of(found: Header) -> Entry:
    """Return what a record says; raises ValueError when it was written by something else."""
    members = json.loads(found.description)
    if not isinstance(members, dict):
        raise ValueError("a record says nothing")  # noqa: TRY004 -- of a wrong kind, as any other
    try:
        if found.kind == DELETION:
            return Deletion(
                found.number,
                members["id"],
                members["key"],
                members["received_at_ms"],
                members["deleted_at_ms"],
                members["reason"],
            )
        return MessageRecord(
            found.number, _message(members), found.content_bytes, bytes.fromhex(members["sha256"])
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"a record lacks {error}") from error


def _message(members: Mapping[str, Any]) -> Message:
    client = SMTPClient(
        members.get("client_address"), members.get("client_hostname"), members.get("helo")
    )
    return Message(
        message_id=members["id"],
        received_at=moment_of(members["received_at_ms"]),
        envelope=Envelope(
            members["sender"],
            members["recipient"],
            client,
            members.get("mail_from"),
            members.get("queue_id"),
        ),
        subject=members["subject"],
        idempotency_key=members["key"],
        endpoints=tuple(members.get("endpoints", ())),
    )
