"""Messages made to exhaust a parser take less than a second, and little memory."""

import gc
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import pytest
from support.processor_time import processor_seconds
from support.rounds import rounds

from app.mime.message import parse

MB = 1_000_000
WITHIN_SECONDS = 1.0
TIMES_ITS_SIZE = 4
AND_BYTES = 24 * 1024 * 1024  # which a tag with 100,000 attributes needs


def message(content_type: bytes, body: bytes, encoding: bytes = b"8bit") -> bytes:
    """Return a message of one part."""
    return (
        b"From: Ann <ann@example.com>\r\nTo: bob@example.com\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: " + content_type + b"\r\n"
        b"Content-Transfer-Encoding: " + encoding + b"\r\n\r\n" + body
    )


def nested(depth: int, within: bytes = b"") -> bytes:
    """Return multiparts nested `depth` deep, with `within` in the innermost."""
    heads = (
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(depth)
    )
    return b"".join(heads) + b"\r\n" + within


def html(unit: bytes, size: int = MB) -> bytes:
    """Return an HTML message that repeats `unit`."""
    return message(b"text/html", unit * (size // len(unit)) + b"end")


def text(charset: bytes, unit: bytes) -> bytes:
    """Return a text of 1 MB that repeats `unit` and declares `charset`."""
    return message(b"text/plain; charset=" + charset, unit * (MB // len(unit)))


def address_fields(unit: bytes, size: int = 65536) -> bytes:
    """Return a message with `size` bytes of `unit` in each address field."""
    names = (b"From: ", b"To: ", b"Cc: ", b"Reply-To: ")
    return b"".join(name + unit * (size // len(unit)) + b"\r\n" for name in names) + b"\r\n"


MIXED = b"multipart/mixed; boundary=b"
STRUCTURES: dict[str, Callable[[], bytes]] = {
    "100,000 parts": lambda: message(MIXED, b"--b\r\n\r\nx\r\n" * 100_000 + b"--b--\r\n"),
    "100,000 HTML parts": lambda: message(
        MIXED, b"--b\r\nContent-Type: text/html\r\n\r\n<p>x\r\n" * 100_000
    ),
    "delimiters only": lambda: message(MIXED, b"--b\r\n" * 200_000),
    "1,000 parts with 1,000 fields": lambda: message(
        MIXED, (b"--b\r\n" + b"ab: cd\r\n" * 1000 + b"\r\nx\r\n") * 1000
    ),
    "1,000 parts with 4,000 parameters": lambda: message(
        MIXED,
        (b"--b\r\nContent-Disposition: attachment" + b"; a=b" * 4000 + b"\r\n\r\nx\r\n") * 1000,
    ),
    "depth 10,000": lambda: nested(10_000),
    "10,000 messages in messages": lambda: b"Content-Type: message/rfc822\r\n\r\n" * 10_000,
    "multiparts with long boundaries": lambda: message(
        MIXED,
        b"".join(
            b"--b\r\nContent-Type: multipart/mixed; boundary=%0190d\r\n\r\n--%0190d\r\n\r\nx\r\n"
            % (number, number)
            for number in range(2000)
        ),
    ),
    "25 MB of almost a delimiter": lambda: message(MIXED, b"\n--bx" * 5 * MB),
    "25 MB of dashes": lambda: message(b"multipart/mixed; boundary=" + b"-" * 70, b"-" * 25 * MB),
    "25 MB, 15 deep": lambda: nested(15, b"--b\n" * 6 * MB),
    "50,000 semicolons": lambda: message(b"text/plain" + b";" * 50_000, b"x"),
    "unclosed quotes": lambda: message(b"text/plain" + b';a="\\' * 50_000, b"x"),
    "10,000 pieces of a name": lambda: message(
        b"image/png; " + b"; ".join(b"name*%d*=%%41%%42" % n for n in range(10_000)), b"x"
    ),
    "a name of 240 KB": lambda: message(b"image/png; name*=utf-8''" + b"%41" * 80_000, b"x"),
    "a content id of 100 KB": lambda: (
        b"Content-Type: image/png\r\nContent-ID: " + b"<" * 100_000 + b"\r\n\r\nx"
    ),
    "100,000 fields": lambda: b"a:b\r\n" * 100_000 + b"\r\nx",
    "a head of 24 MB": lambda: b"a: b\r\n" + b" x\r\n" * 6 * MB,
    "bare carriage returns": lambda: b"a: b" + b"\ra: b" * 60_000 + b"\r\n\r\n",
    "references": lambda: b"References: " + b"<a@b> " * 40_000 + b"\r\n\r\n",
    "a date": lambda: b"Date: " + b"1 " * 100_000 + b"\r\n\r\n",
    "encoded words": lambda: b"Subject: " + b"=?utf-8?q?a?= " * 20_000 + b"\r\n\r\n",
    "addresses": lambda: address_fields(b"a <a@b>,"),
    "addresses between semicolons": lambda: address_fields(b"a <a@b>;"),
    "commas": lambda: address_fields(b","),
    "colons": lambda: address_fields(b"a:"),
    "parentheses": lambda: address_fields(b"("),
    "angle brackets": lambda: address_fields(b"<"),
    "angle brackets, almost too many": lambda: address_fields(b"<", 32_000),
    "spaces in a charset": lambda: message(
        MIXED, (b'--b\r\nContent-Type: text/plain; charset="a' + b" " * 8000 + b'b"\r\n\r\n') * 50
    ),
    "escapes in quotes": lambda: address_fields(b'"a\\'),
    "routes": lambda: address_fields(b"<@a,@b:"),
    "comments": lambda: address_fields(b"(a) "),
}
TEXTS: dict[str, Callable[[], bytes]] = {
    "64 KiB of newlines": lambda: message(b"text/plain", b"\n" * 65536),
    "25 MB of newlines": lambda: message(b"text/plain", b"\n" * 25 * MB),
    "short lines": lambda: message(b"text/plain", b"ab\r\n" * 250_000),
    "lines that begin a quote": lambda: message(b"text/plain", (b"On " + b"x " * 90 + b"\n") * 99),
    "quotes of quotes": lambda: message(b"text/plain", b"\n>" * 8000),
    "25 MB of Base64": lambda: message(b"image/png", (b"QUJD" * 19 + b"\r\n") * 320_000, b"base64"),
    "25 MB of Base64 as text": lambda: message(
        b"text/plain", (b"QUJD" * 19 + b"\r\n") * 320_000, b"base64"
    ),
    "Base64 with padding everywhere": lambda: message(b"image/png", b"A=A=" * 6 * MB, b"base64"),
    "invalid Base64": lambda: message(b"image/png", b"\xff" * 25 * MB, b"base64"),
    "quoted-printable": lambda: message(b"image/png", b"=41=\r\n" * 4 * MB, b"quoted-printable"),
    "quoted-printable with trailing white space": lambda: message(
        b"image/png", b" \n\t\n \r\n\t\r\n" * 2 * MB, b"quoted-printable"
    ),
    "HTML in quoted-printable with trailing white space": lambda: message(
        b"text/html", b" \n\t\n" * 6 * MB, b"quoted-printable"
    ),
    "invalid quoted-printable": lambda: message(
        b"image/png", b"=          " * 2 * MB, b"quoted-printable"
    ),
    "UTF-7 with lone surrogates": lambda: text(b"utf-7", b"+2AA-"),
    "UTF-16 with lone surrogates": lambda: text(b"utf-16", b"\0\xd8"),
    "invalid UTF-8": lambda: text(b"utf-8", b"\xff"),
    "invalid HZ": lambda: text(b"hz", b"~{"),
    "ISO-2022-JP with nothing but escapes": lambda: text(b"iso-2022-jp", b"\x1b$B"),
    "UTF-8 declared as ASCII": lambda: text(b"us-ascii", "€".encode()),
    "one emoji that makes the string four times as wide": lambda: message(
        b"text/plain; charset=utf-8", b"a" * 1_040_000 + "😀".encode()
    ),
}
HTML: dict[str, Callable[[], bytes]] = {
    "1 MB of nested <div>": lambda: html(b"<div>"),
    "nested <b>": lambda: html(b"<b>"),
    "<br>": lambda: html(b"ab<br>"),
    "tables in tables": lambda: html(b"<table><tr><td>"),
    "elements that can't be closed": lambda: html(b"<b><p></b></p>"),
    "100,000 attributes": lambda: message(
        b"text/html", b"<a " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">"
    ),
    "unclosed tags": lambda: html(b"<"),
    "NUL characters": lambda: html(b"a\0b"),
    "character references": lambda: html(b"&lt;"),
    "comments": lambda: html(b"<!--"),
    "scripts": lambda: html(b"<script>"),
}
BOMBS: dict[str, Callable[[], bytes]] = {**STRUCTURES, **TEXTS, **HTML}


@pytest.mark.parametrize("name", BOMBS)
def test_no_message_takes_a_second(name: str) -> None:
    """Not even those that exhaust other parsers of MIME, HTML or replies."""
    raw = BOMBS[name]()
    assert processor_seconds(lambda: parse(raw), WITHIN_SECONDS) < WITHIN_SECONDS


MEASURED = """
import sys
from pathlib import Path
from app.mime.message import parse

def kib(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(name)))

parse(b"Content-Type: text/html\\r\\n\\r\\n<p>x")
raw = sys.stdin.buffer.read()
before = kib("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # resets the peak
parse(raw)
print((kib("VmHWM") - before) * 1024)
"""


@pytest.mark.parametrize("name", rounds([*BOMBS], [*BOMBS][::4]))
def test_no_message_takes_four_times_its_size(name: str) -> None:
    """Including the message itself, at most four times its size plus 24 MiB of memory is used.

    The kernel measures it in a separate process, so the memory of libxml2 is included.
    """
    raw = BOMBS[name]()
    done = subprocess.run(
        [sys.executable, "-c", MEASURED], input=raw, capture_output=True, check=True, timeout=60
    )
    assert len(raw) + int(done.stdout) < TIMES_ITS_SIZE * len(raw) + AND_BYTES


def test_a_worker_keeps_nothing_of_a_message() -> None:
    """Python's own look-up would keep each name of a charset for good, known or not."""
    words = (b"=?x%099d?q?a?=" % number for number in range(2000))
    raw = b"Subject: " + b" ".join(words) + b"\r\n\r\n"
    parse(b"Subject: =?utf-8?q?a?=\r\n\r\n")
    tracemalloc.start()
    try:
        parse(raw)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 100_000
