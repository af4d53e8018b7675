"""The simplest messages that GoMail takes."""

import random

LARGE_BYTES = 1_200_000


def plain_mail(subject: object, body: bytes) -> bytes:
    """Return a message from a@example.com to b@example.com."""
    head = f"From: a@example.com\r\nTo: b@example.com\r\nSubject: {subject}\r\n\r\n"
    return head.encode() + body


def random_mail(number: int, *, one_large_in: int, small_bytes: int = 40_000) -> bytes:
    """Return a message of its own for each number; one in so many is larger than 1 MiB."""
    draw = random.Random(number)
    size = LARGE_BYTES if number % one_large_in == 0 else draw.randrange(200, small_bytes)
    return plain_mail(f"number {number}", draw.randbytes(size))
