"""The defects of messages: the only table of their codes, which clients may rely on."""

from enum import StrEnum


class Defect(StrEnum):
    """A stable code and its meaning; a message lists its defects in the order of this table.

    If a defect `truncates`, the parsed message lacks part of the content.
    """

    meaning: str
    truncates: bool

    def __new__(cls, code: str, meaning: str, truncates: bool = False) -> "Defect":
        """Return a member that compares equal to its code."""
        member = str.__new__(cls, code)
        member._value_ = code
        member.meaning = meaning
        member.truncates = truncates
        return member

    HEAD_TOO_LONG = (
        "head_too_long",
        "A header section exceeds 256 KiB or 1,000 fields; the remaining fields are left out.",
        True,
    )
    HEADER_INVALID = (
        "header_invalid",
        "A header section contains a line that is not a field; the body begins with that line.",
    )
    HEADER_REPEATED = (
        "header_repeated",
        "A field that may occur only once is repeated; the first one counts.",
    )
    HEADER_CHARSET_GUESSED = (
        "header_charset_guessed",
        "A header field has 8-bit text that is not UTF-8; it is decoded as windows-1252.",
    )
    ENCODED_WORD_INVALID = (
        "encoded_word_invalid",
        "An encoded word (RFC 2047) has an unknown charset or can't be decoded; it is left as is.",
    )
    PARAMETER_INVALID = (
        "parameter_invalid",
        "A parameter, such as a file name, has an unknown charset or doesn't match its charset; its"
        " text is guessed.",
    )
    ADDRESS_INVALID = (
        "address_invalid",
        "An entry in From, To, Cc or Reply-To has no usable address; it is left out.",
    )
    ADDRESSES_TOO_LONG = (
        "addresses_too_long",
        "From, To, Cc or Reply-To exceeds 32 KiB or 1,000 addresses; the rest is left out.",
        True,
    )
    DATE_INVALID = ("date_invalid", "The Date field is not a valid date; `date` is null.")
    CONTENT_TYPE_INVALID = (
        "content_type_invalid",
        "A Content-Type has no valid type and subtype; it is read as text/plain (RFC 2045).",
    )
    TOO_MANY_PARTS = (
        "too_many_parts",
        "There are more than 1,000 parts, or more than 1 MiB of header sections; the rest is one"
        " part, application/octet-stream.",
        True,
    )
    TOO_DEEP = (
        "too_deep",
        "Multiparts are nested more than 16 deep; a multipart below that is a single part.",
        True,
    )
    BOUNDARY_MISSING = (
        "boundary_missing",
        "A multipart declares no boundary, or its boundary never occurs; it is read as text/plain.",
    )
    BOUNDARY_UNCLOSED = (
        "boundary_unclosed",
        "The closing boundary of a multipart is missing; the message may be incomplete.",
    )
    TRANSFER_ENCODING_UNKNOWN = (
        "transfer_encoding_unknown",
        "A Content-Transfer-Encoding is unknown or not allowed for this part; it is ignored.",
    )
    BASE64_INVALID = (
        "base64_invalid",
        "Base64 has invalid characters or is cut short; the valid characters are decoded.",
    )
    QUOTED_PRINTABLE_INVALID = (
        "quoted_printable_invalid",
        "Quoted-printable has an equals sign that encodes nothing; it is left as is.",
    )
    CHARSET_UNKNOWN = (
        "charset_unknown",
        "A text part declares an unknown charset; it is decoded as UTF-8 or windows-1252.",
    )
    CHARSET_GUESSED = (
        "charset_guessed",
        "A text part has 8-bit characters but declares no charset, or US-ASCII; it is decoded as"
        " UTF-8 or windows-1252.",
    )
    CHARSET_WRONG = (
        "charset_wrong",
        "A text part has bytes that are invalid in its charset; it is decoded as UTF-8, or with"
        " U+FFFD in their place.",
    )
    TEXT_TOO_LONG = (
        "text_too_long",
        "The text or the HTML exceeds 1 MiB; the rest is left out, and the part is also listed in"
        " `attachments`.",
        True,
    )
    FILENAME_CHANGED = (
        "filename_changed",
        "A file name has a path, invisible characters, or too many characters; they are removed.",
    )
