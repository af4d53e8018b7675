"""The page about addresses: docs/addresses.md."""

from address_table import RULES

HEAD = """\
# Addresses

This page is generated from the code by `make docs`.

Who a message is from and for is what the request says; without that, what its From and To say.

## In the request

A sender or recipient in a header (`X-Original-Sender`, `X-Original-Recipient`,
`X-Original-Mail-From`) is one whole address or the message is refused (422): `ann@example.com`, or
the same in angle brackets. An address is taken as it stands, never repaired into another one.
Apostrophes or backticks around a whole address are dropped. An empty sender, `<>`, and
`MAILER-DAEMON` (what Postfix's pipe(8) writes unless it is told `null_sender=`) are the null
sender.

In JSON an address may have a display name: `Ann <ann@example.com>`. Several addresses are refused
(400): send one recipient per request.

## In From and To

The first address of the field counts. Fields are read by the rules below, the same on every
version of Python.

| field | addresses found |
|---|---|
"""

DOMAINS = """\

## Domains

Domains are compared by IDNA 2008 with the mapping of UTS 46: `straße.example` is
`xn--strae-oqa.example`, not `strasse.example`. Upper case, a final dot (also `。`) and the two
spellings of an international domain make no difference: in `blocked_domains` and
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
