"""What is found in address fields: the table of docs/addresses.md, which the tests run as well."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Rule:
    """A rule, and fields that it decides about, each with the addresses found in it."""

    text: str
    fields: Sequence[tuple[str, Sequence[str]]]


RULES = (
    Rule(
        "An address alone is used exactly as written.",
        [
            ("b@example.com", ["b@example.com"]),
            (" b@example.com ", ["b@example.com"]),
            ("<b@example.com>", ["b@example.com"]),
            ("ann+tag@sub.example.com", ["ann+tag@sub.example.com"]),
            ("o'neil@example.com", ["o'neil@example.com"]),
            ("a=b@example.com", ["a=b@example.com"]),
            ("ann@localhost", ["ann@localhost"]),
            ("ann@[192.0.2.1]", ["ann@[192.0.2.1]"]),
            ("ann@[IPv6:2001:db8::1]", ["ann@[IPv6:2001:db8::1]"]),
            ('"ann b"@example.com', ['"ann b"@example.com']),
            ('"a,b"@example.com, c@example.com', ['"a,b"@example.com', "c@example.com"]),
            ("bücher@bücher.example", ["bücher@bücher.example"]),
        ],
    ),
    Rule(
        "Where there are angle brackets, the address inside them is used; everything else is a"
        " display name.",
        [
            ("Ann <ann@example.com>", ["ann@example.com"]),
            ('"Smith, Ann" <ann@example.com>', ["ann@example.com"]),
            ("Joe Q. Public <joe@example.com>", ["joe@example.com"]),
            ("O'Neil: Sales (EU) <o@example.com>", ["o@example.com"]),
            ("[list] Ann <ann@example.com>", ["ann@example.com"]),
            ("ok@fine.example (x) <spam@blocked.example>", ["spam@blocked.example"]),
            ("ann@example.com via List <list@example.org>", ["list@example.org"]),
            ("ann@example.com <bob@example.com>", ["bob@example.com"]),
            ("Ann (ann@example.com) <bob@example.com>", ["bob@example.com"]),
            ("<ann@example.com> Team", ["ann@example.com"]),
            ('"" <ann@example.com>', ["ann@example.com"]),
            ("Ann <ann@example.com> <bob@example.com>", []),
        ],
    ),
    Rule(
        "Commas and semicolons separate addresses. A part without an address is skipped.",
        [
            ("b@example.com, c@example.com", ["b@example.com", "c@example.com"]),
            ("b@example.com; c@example.com", ["b@example.com", "c@example.com"]),
            ("b@example.com,c@example.com", ["b@example.com", "c@example.com"]),
            ("b@example.com;", ["b@example.com"]),
            ("<b@example.com>,<c@example.com>", ["b@example.com", "c@example.com"]),
            ("b@example.com,, c@example.com", ["b@example.com", "c@example.com"]),
            ("Ann; Doe <b@example.com>", ["b@example.com"]),
            ("Doe, Ann <ann@example.com>", ["ann@example.com"]),
            ("Doe,Ann <ann@example.com>", ["ann@example.com"]),
            ("b@example.com, nobody", ["b@example.com"]),
        ],
    ),
    Rule(
        "If a word is joined to an address by a comma or a semicolon, without a space, neither is"
        " used, since the word may belong to the address.",
        [
            ("a,b@example.net", []),
            ("a;b@example.net", []),
            ("donald@example,com", []),
            ("donald@example,com, ann@example.com", ["ann@example.com"]),
        ],
    ),
    Rule(
        "Text that isn't one complete address contains none.",
        [
            ("nobody", []),
            ("ann b@example.com", []),
            ("Big Bug bug@example.com", []),
            ("ann@example.com Team", []),
            ("x)b@example.com", []),
            ("ann@bob@example.com", []),
            ("ann@example..com", []),
            ("Ann <mailto:ann@example.com>", []),
            ("<>", []),
        ],
    ),
    Rule(
        "Comments count as space. Space may stand around the dots and the @ (RFC 5322, 4.4).",
        [
            ("ann@example.com (Ann)", ["ann@example.com"]),
            ("(one (nested) comment) ann@example.com", ["ann@example.com"]),
            ("ann @ example . com", ["ann@example.com"]),
            ("Pete(A \\) chap) <pete(his)@silly.test(his host)>", ["pete@silly.test"]),
            ("ann(x)b@example.com", []),
            ("ann@example.com (never closed", ["ann@example.com"]),
        ],
    ),
    Rule(
        "A group's name isn't part of its members' addresses. An obsolete route isn't part of the"
        " address.",
        [
            ("team: a@example.com, b@example.com;", ["a@example.com", "b@example.com"]),
            ("team:a@example.com", ["a@example.com"]),
            ("undisclosed-recipients:;", []),
            ("A: a@example.com; B: b@example.com;", ["a@example.com", "b@example.com"]),
            ("<@relay.example,@b.example:ann@example.com>", ["ann@example.com"]),
        ],
    ),
    Rule(
        "An encoded word is part of a display name, whatever characters it has.",
        [
            ("=?utf-8?Q?Doe,_Ann?= <ann@example.com>", ["ann@example.com"]),
            ("=?utf-8?Q?b@example.org?= <ann@example.com>", ["ann@example.com"]),
            ("=?utf-8?B?PGJAeC55Pg==?=", []),
        ],
    ),
    Rule(
        "A missing bracket or quote is treated as if it were there.",
        [
            ("b@example.com>", ["b@example.com"]),
            ("Ann <b@example.com", ["b@example.com"]),
            ("<<b@example.com>>", ["b@example.com"]),
            ('"Ann <b@example.com>', ["b@example.com"]),
        ],
    ),
    Rule(
        "Apostrophes or backticks around a whole address (Outlook) are dropped.",
        [
            ("'eve@example.com'", ["eve@example.com"]),
            ("<'eve@example.com'>", ["eve@example.com"]),
            ("`eve@example.com`", ["eve@example.com"]),
            ("'Eve' <eve@example.com>", ["eve@example.com"]),
            ("'eve@example.com", ["'eve@example.com"]),
        ],
    ),
)
