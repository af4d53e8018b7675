"""The page about how messages are decoded: docs/reading.md."""

from app.mime import head, mailboxes, parameters, reply, structure, texts
from app.mime.defects import Defect
from app.mime.filenames import MAX_CHARACTERS

HEAD = """\
# How a message is decoded

This page is generated from the code by `make docs`.

A message is stored as received, and decoded when it is requested. Even a malformed message is
decoded: no part is lost, and a part that can't be decoded is returned as bytes.

- **Parts** have the numbers of IMAP: `1.2` is the second part of the first part. A message without
  parts is itself part `1`.
- **`text`** joins the text parts in order. An HTML part without a text alternative contributes its
  visible text (RFC 8621, section 4.1.4).
- **`html`** joins the HTML parts; text parts between them are in `<pre>`. It is null if there is no
  HTML part.
- **`attachments`** lists all other parts, including inline images, calendars, signatures, S/MIME,
  `winmail.dat`, and attached messages. Files in uuencode or yEnc are left in the text.
- **`reply`** is the text above a quoted message. If no quoted message is found, `found` is false
  and the reply is the whole text.
- **File names** have no path, and no characters that are invisible or reverse the text.
- **Message ids** have no angle brackets.
- **Charsets** are read as mail programs mean them: `iso-8859-1` as windows-1252, `gb2312` as
  GB 18030.
"""


def reading_page() -> str:
    """Return the page."""
    return "\n".join([HEAD, *_bounds(), *_defects()])


def _bounds() -> list[str]:
    rows = {
        "a header section": f"{_kib(head.MAX_BYTES)}, {head.MAX_FIELDS:,} fields",
        "From, To, Cc, Reply-To": f"each {_kib(mailboxes.MAX_BYTES)},"
        f" {mailboxes.MAX_MAILBOXES:,} addresses",
        "parts": f"{structure.MAX_PARTS:,}, {structure.MAX_DEPTH} deep",
        "header sections of parts": f"{_kib(structure.MAX_BYTES_OF_HEADS)} in all",
        "a boundary": f"{structure.MAX_BOUNDARY_BYTES} bytes",
        "a parameter, such as a file name": f"{_kib(parameters.MAX_BYTES)} as sent",
        "a file name": f"{MAX_CHARACTERS} characters; the extension is kept",
        "`text`, `html`": f"each {_kib(texts.MAX_BYTES)}, before charsets are decoded",
        "text that is searched for a quoted message": f"{reply.MAX_CHARACTERS:,} characters",
    }
    return [
        "## Limits",
        "",
        "Decoding takes less than a second, and needs at most four times the size of the message",
        "plus 24 MiB of memory.",
        "",
        "| what | limit |",
        "|---|---|",
        *(f"| {what} | {bound} |" for what, bound in rows.items()),
        "",
    ]


def _defects() -> list[str]:
    return [
        "## Defects",
        "",
        "The codes in `defects` are stable. If one is marked yes, `truncated` is true: the answer",
        "lacks part of the content.",
        "",
        "| code | meaning | truncated |",
        "|---|---|---|",
        *(f"| `{each}` | {each.meaning} | {'yes' * each.truncates} |" for each in Defect),
        "",
    ]


def _kib(count: int) -> str:
    return f"{count // 1024:,} KiB"
