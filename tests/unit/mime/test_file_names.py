"""File names are decoded as the sender meant them, and safe to show and to save under."""

import pytest

from app.mime.message import parse
from app.mime.parameters import MAX_BYTES, parameter


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ("Content-Disposition: attachment; filename=a.txt", "a.txt"),
        ('Content-Disposition: attachment; filename="a b.txt"', "a b.txt"),
        ('Content-Disposition: attachment; filename="a\\"b.txt"', 'a"b.txt'),
        ('Content-Disposition: attachment; filename="a;b.txt"; size=1', "a;b.txt"),
        ("Content-Disposition: attachment; filename=This is a test.txt", "This is a test.txt"),
        ('Content-Disposition: attachment; filename="no end.txt', "no end.txt"),
        ("Content-Disposition: attachment; filename*=utf-8''B%C3%BCcher.txt", "Bücher.txt"),
        ("Content-Disposition: attachment; filename*=utf-8'de'B%C3%BC.txt", "Bü.txt"),
        ("Content-Disposition: attachment; filename*=iso-8859-1''B%FC.txt", "Bü.txt"),
        ("Content-Disposition: attachment; filename*=''B%C3%BC.txt", "Bü.txt"),
        ("Content-Disposition: attachment; filename=b; filename*=utf-8''%C3%BC", "ü"),
        ("Content-Disposition: attachment; filename*=utf-8''; filename=a.txt", "a.txt"),
        (
            "Content-Disposition: attachment; filename*1=cher; filename*2*=%2Etxt;\r\n"
            " filename*0*=utf-8''B%C3%BC",
            "Bücher.txt",
        ),
        ("Content-Disposition: attachment; filename*0=a; filename*1=b; filename*3=d", "ab"),
        ('Content-Disposition: attachment; filename="=?utf-8?q?B=C3=BC?="', "Bü"),
        ('Content-Disposition: attachment; filename="=?utf-8?b?w7w=?=\r\n =?utf-8?q?b?="', "üb"),
        ("Content-Disposition: attachment; filename=Bücher.txt", "Bücher.txt"),
        ("Content-Type: image/png; name=a.png", "a.png"),
        ("Content-Type: image/png; name*=utf-8''%C3%BC.png", "ü.png"),
        ("Content-Type: image/png; name=b\r\nContent-Disposition: inline; filename=a", "a"),
        ("Content-Disposition: attachment", None),
        ("Content-Disposition: attachment; filename=", None),
    ],
)
def test_a_name_is_read(fields: str, name: str | None) -> None:
    """RFC 2231, RFC 2047 and plain UTF-8 all give the name that the sender saw."""
    (attachment,) = parse(f"{fields}\r\n\r\nx".encode()).attachments
    assert attachment.filename == name


@pytest.mark.parametrize(
    ("stated", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\Ann\\a.txt", "a.txt"),
        ("a/..", None),
        ("..", None),
        (".", None),
        ("/", None),
        (".bashrc", ".bashrc"),
        ("=?utf-8?q?..=2F..=2Fa?=", "a"),
        ("=?utf-8?q?a=00=0Ab.txt?=", "a  b.txt"),
        ("=?utf-8?q?ann=E2=80=AEtxt.exe?=", "anntxt.exe"),
        ("=?utf-8?q?a=E2=80=8Bb?=", "ab"),
        ("a" * 300 + ".txt", "a" * 251 + ".txt"),
        ("a" * 300, "a" * 255),
    ],
)
def test_a_name_is_safe(stated: str, name: str | None) -> None:
    """No path, no invisible or text-reversing characters, at most 255 characters."""
    raw = f'Content-Disposition: attachment; filename="{stated}"\r\n\r\nx'.encode()
    (attachment,) = parse(raw).attachments
    assert attachment.filename == name


def test_a_name_in_an_old_charset_is_guessed() -> None:
    """Bytes that aren't UTF-8 are read as windows-1252."""
    (attachment,) = parse(
        b"Content-Disposition: attachment; filename=B\xfc.txt\r\n\r\nx"
    ).attachments
    assert attachment.filename == "Bü.txt"


@pytest.mark.parametrize(
    "parameters",
    [
        {"name": b"a" * 20_000},
        {"name*": b"a" * 20_000},
        {f"name*{number}": b"a" * 10 for number in range(2000)},
        {f"name*{number}*": b"%61%61%61" for number in range(2000)},
    ],
)
def test_a_long_parameter_is_cut(parameters: dict[str, bytes]) -> None:
    """At most 8 KiB of a parameter are decoded, in whatever form and number of pieces."""
    text = parameter(parameters, "name", set())
    assert text is not None
    assert MAX_BYTES // 3 - 3 < len(text) <= MAX_BYTES
