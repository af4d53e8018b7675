"""The page about addresses: docs/addresses.md."""

from address_table import RULES

HEAD = """\
# Addresses

This page is generated from the code by `make docs`.

The request names sender and recipient. If it names neither, X-Original- fields at the beginning of
the message are used; what is still missing comes from From and To.

## In the request

A sender or recipient in a header (`X-Original-Sender`, `X-Original-Recipient`) must be one whole
address, or the message is refused (422): `ann@example.com`, or the same in angle brackets. An
address is used exactly as written, never corrected. Apostrophes or backticks around a whole
address are dropped. An empty sender, `<>`, and `MAILER-DAEMON` (what Postfix's pipe(8) writes
unless it is told `null_sender=`) are the null sender.

`X-Original-Mail-From` is used, and checked in the same way, only when the request has no other
sender. Otherwise it is stored as it is.

In JSON an address may have a display name: `Ann <ann@example.com>`. Several addresses are refused
(400): send one recipient per request.

## In From and To

The first address in the field is used. Fields are read by the rules below, which are the same on
every version of Python.

| field | addresses found |
|---|---|
"""

DOMAINS = """\

## Domains

Domains are compared by IDNA 2008 with the mapping of UTS 46: `straße.example` is
`xn--strae-oqa.example`, not `strasse.example`. Upper case and a final dot (also `。`) make no
difference, and the Unicode form and the ASCII form (`xn--`) are the same: in `blocked_domains` and
`allowed_recipient_domains`, in `messages list --recipient`, and in the lines for Postfix.
"""


def addresses_page() -> str:
    """Return docs/addresses.md."""
    rows: list[str] = []
    for rule in RULES:
        rows.append(f"| **{rule.text}** | |")
        for field, found in rule.fields:
            shown = ", ".join(_code(each) for each in found) or "none"
            rows.append(f"| {_code(field)} | {shown} |")
    return HEAD + "\n".join(rows) + "\n" + DOMAINS


def _code(text: str) -> str:
    fence = "``" if "`" in text else "`"
    space = " " if "`" in text or text != text.strip() else ""
    return f"{fence}{space}{text}{space}{fence}"
