"""The patterns of recipients that can be configured."""

import json
from pathlib import Path

import pytest
from support.endpoint_settings import (
    SUPPORT,
    endpoints,
    faults,
    warning_lines,
)


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("", "is not the address of a recipient"),
        ("support", "is not the address of a recipient"),
        ("@example.com", "is not the address of a recipient"),
        ("support@", "is not the address of a recipient"),
        ("*@", "is not the address of a recipient"),
        ("a b@example.com", "is not the address of a recipient"),
        ("Ann <ann@example.com>", "is not the address of a recipient"),
        ("a@b@example.com", "is not the address of a recipient"),
        ("a@example..com", "is not the address of a recipient"),
        ("a@b.example\n", "is not the address of a recipient"),
        ("example.com", "is not the address of a recipient"),
        ("help*", "is not the address of a recipient"),
        ("**", "has more than one star"),
        ("*@*", "has more than one star"),
        ("a*b*@example.com", "has more than one star"),
        ("a@*.example.com", "has a star in its domain"),
        ("a@*", "has a star in its domain"),
        ("*a@example.com", "has a star before the end of its local part"),
        ("a*b@example.com", "has a star before the end of its local part"),
    ],
)
def test_a_pattern_that_no_mail_can_match_is_refused(
    tmp_path: Path, pattern: str, problem: str
) -> None:
    """Whoever writes it waits for mail that never comes."""
    [fault] = faults(tmp_path, SUPPORT | {"recipients": ["a@b.example", pattern]})
    quoted = json.dumps(pattern, ensure_ascii=False)
    assert fault.startswith(f"endpoints[0].recipients[1]: {quoted} {problem} (allowed: ")


@pytest.mark.parametrize(
    "pattern",
    [
        *("*", "a@b.example", "a+*@b.example", "*@b.example", "a*@b.example", "*@localhost"),
        *("*@bücher.example", '"a b"@b.example', "a@[192.0.2.1]", "ä@b.example", "a@under_score"),
    ],
)
def test_a_pattern_that_mail_can_match_is_taken(tmp_path: Path, pattern: str) -> None:
    """Every address that a message may be for can be written."""
    assert endpoints(tmp_path, SUPPORT | {"recipients": [pattern]})[0].recipients == (pattern,)


def test_a_pattern_of_a_domain_that_is_refused_is_a_warning(tmp_path: Path) -> None:
    """It can match messages that were stored before, and no new one."""
    given = SUPPORT | {
        "recipients": ["*", "*@Bücher.example", "a+*@example.org", "a@sub.b.example"]
    }
    allowed = ["xn--bcher-kva.example", "b.example"]
    lines = warning_lines(tmp_path, endpoints=[given], allowed_recipient_domains=allowed)
    assert lines == [
        "endpoints[0].recipients[2]: example.org is not in allowed_recipient_domains, so it gets no"
        " new mail",
        "endpoints[0].recipients[3]: sub.b.example is not in allowed_recipient_domains, so it gets"
        " no new mail",
    ]
    assert warning_lines(tmp_path, endpoints=[given]) == []
