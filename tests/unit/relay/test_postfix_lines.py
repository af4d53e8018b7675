"""The lines for Postfix come from the settings, and fit them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support.requirement import require_program

from app.relay.postfix import (
    HEADER_BYTES,
    PipeTransport,
    main_cf,
    master_cf,
    missing_domains_warning,
    size_limit,
    size_limit_warning,
)
from app.settings import Settings, load
from app.settings.url import base_url

DOOR = PipeTransport(
    "http://[::1]:3000/mail/inbound", "/etc/gomail/token", "gomail", "/opt/gomail-relay"
)
DEFAULT_BYTES = 26_214_400
KIB = 1024


def settings(**flags: object) -> Settings:
    return load(flags, environ={}, config=Path("/dev/null"))


def options(**flags: object) -> dict[str, str]:
    """Return the lines for main.cf as Postfix reads them: a # begins a comment."""
    lines = [line for line in main_cf(settings(**flags)).splitlines() if not line.startswith("#")]
    return dict(line.split(" = ", 1) for line in lines)


@pytest.fixture
def postconf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return a function that puts a shell script in postconf's place."""

    def make(script: str) -> None:
        file = tmp_path / "postconf"
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))

    return make


@pytest.mark.parametrize(
    ("flags", "domains"),
    [
        ({}, "$mydomain"),
        ({"primary_domain": "Example.com."}, "example.com"),
        ({"allowed_recipient_domains": ["b.test", "a.test"]}, "a.test, b.test"),
        ({"allowed_recipient_domains": ["a.test"], "primary_domain": "example.com"}, "a.test"),
    ],
)
def test_mail_is_taken_for_the_domains_that_gomail_takes(
    flags: dict[str, object], domains: str
) -> None:
    """Those of allowed_recipient_domains, else primary_domain; without both there is a warning."""
    assert options(**flags)["virtual_mailbox_domains"] == domains
    assert (missing_domains_warning(settings(**flags)) is None) == bool(flags)


@pytest.mark.parametrize("taken", [1024, 128 * KIB, 129 * KIB, DEFAULT_BYTES, 1024**3])
def test_the_size_limit_fits_below_gomails(taken: int) -> None:
    """With what Postfix adds it stays below max_message_size, and leaves room for a message."""
    limit = size_limit(settings(max_message_size=taken))
    assert options(max_message_size=taken)["message_size_limit"] == str(limit)
    assert taken // 2 <= limit < taken
    assert limit + HEADER_BYTES == taken or taken < 2 * HEADER_BYTES


@pytest.mark.parametrize(
    ("taken", "needed"), [(DEFAULT_BYTES, False), (51_200_000, False), (52_000_000, True)]
)
def test_a_mailbox_limit_is_lifted_only_when_it_is_in_the_way(taken: int, needed: bool) -> None:
    """Postfix's default of 51,200,000 bytes must not be below message_size_limit."""
    assert ("mailbox_size_limit" in options(max_message_size=taken)) is needed


def test_one_recipient_a_call_well_within_the_time_limit() -> None:
    """One refusal can't bounce another recipient, and gomail-relay gives up before Postfix."""
    found = options()
    assert found["gomail_destination_recipient_limit"] == "1"
    assert int(found["gomail_time_limit"].removesuffix("s")) > 2 * 90
    assert found["enable_long_queue_ids"] == "yes"
    assert found["virtual_transport"] == "gomail"


def test_master_cf_calls_the_script_with_its_eight_arguments() -> None:
    """URL and token file, then the six macros in the order of the script; argv comes last."""
    lines = master_cf(settings(workers=3, threads=5), DOOR).splitlines()
    assert lines[0].split() == ["gomail", "unix", "-", "n", "n", "-", "15", "pipe"]
    assert all(line.startswith("  ") for line in lines[1:])
    assert " ".join(lines[1:]).split() == [
        "flags=Rq",
        "user=gomail",
        "null_sender=",
        "argv=/opt/gomail-relay",
        "http://[::1]:3000/mail/inbound",
        "/etc/gomail/token",
        "${sender}",
        "${recipient}",
        "${queue_id}",
        "${client_address}",
        "${client_hostname}",
        "${client_helo}",
    ]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:3000"),
        ("0.0.0.0", "http://127.0.0.1:3000"),
        ("::", "http://[::1]:3000"),
        ("2001:db8::1", "http://[2001:db8::1]:3000"),
    ],
)
def test_the_url_is_one_that_reaches_this_server(host: str, url: str) -> None:
    """Brackets for IPv6, and loopback for "every address"."""
    assert base_url(settings(host=host).server) == url


@pytest.mark.parametrize("limit", [0, DEFAULT_BYTES - HEADER_BYTES + 1, 10**12])
def test_a_size_limit_that_does_not_fit_is_told(
    postconf: Callable[[str], None], limit: int
) -> None:
    """Too large, or 0, which is any size: both numbers are named, and the one to set."""
    postconf(f"echo {limit}")
    told = size_limit_warning(settings())
    assert told is not None
    assert f"up to {limit} bytes" in told
    assert f"message_size_limit = {DEFAULT_BYTES - HEADER_BYTES}." in told


@pytest.mark.parametrize(
    "script",
    [f"echo {DEFAULT_BYTES - HEADER_BYTES}", "echo 1", "echo many", "echo ²", "exit 1", "kill $$"],
)
def test_nothing_is_told_of_what_fits_or_is_not_known(
    postconf: Callable[[str], None], script: str
) -> None:
    """A limit that fits, and a postconf that answers no number."""
    postconf(script)
    assert size_limit_warning(settings()) is None


def test_a_host_without_postfix_has_no_misfit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """GoMail may run on another host than Postfix."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert size_limit_warning(settings()) is None


@pytest.mark.parametrize("taken", [1024, DEFAULT_BYTES, 1024**3])
def test_postfix_reads_the_lines_without_a_complaint(tmp_path: Path, taken: int) -> None:
    """`postconf` knows every option and macro, and gives back the values that were written."""
    program = require_program("postconf")
    known = settings(primary_domain="example.com", max_message_size=taken)
    (tmp_path / "main.cf").write_text("compatibility_level = 3.6\n" + main_cf(known))
    (tmp_path / "master.cf").write_text(master_cf(known, DOOR))

    def ask(*arguments: str) -> str:
        command = [program, "-c", str(tmp_path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert done.stderr == ""
        return done.stdout

    read = dict(line.split(" = ", 1) for line in ask("-n").splitlines())
    assert read | options(primary_domain="example.com", max_message_size=taken) == read
    assert ask("-M", "gomail/unix").split("argv=")[1].split()[0] == DOOR.relay
