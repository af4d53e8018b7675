"""`flask gomail postfix-config` prints lines that can be appended, or says why not."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.cli.postfix_config import postfix_config
from app.cli.validate import validate
from app.settings import SHARE

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command with the settings given, on a host without Postfix."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str, **settings: object) -> Result:
        config = tmp_path / "gomail.json"
        config.write_text(json.dumps({"data_dir": str(tmp_path / "data")} | settings))
        config.chmod(0o600)
        return CliRunner().invoke(postfix_config, ["--config", str(config), *arguments])

    return invoke


def test_main_cf_can_be_appended(run: Run) -> None:
    """Comments and options, each on a line of its own, and nothing else."""
    result = run("--part", "main.cf", primary_domain="example.com")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.endswith("\n")
    assert all(line.startswith("#") or " = " in line for line in result.stdout.splitlines())
    assert "virtual_mailbox_domains = example.com\n" in result.stdout


def test_every_option_reaches_master_cf(run: Run) -> None:
    """URL, token file, user and script are those that were given."""
    given = {
        "--url": "https://mail.example.com/mail/inbound",
        "--token-file": "/run/secrets/token",
        "--user": "relay:mail",
        "--relay": "/usr/local/lib/gomail-relay",
    }
    words = [word for option in given.items() for word in option]
    result = run("--part", "master.cf", *words, bearer_token="k7" * 16)
    assert (result.exit_code, result.stderr) == (0, "")
    printed = result.stdout.split()
    assert "user=relay:mail" in printed
    start = printed.index(f"argv={given['--relay']}")
    assert printed[start + 1 : start + 3] == [given["--url"], given["--token-file"]]


def test_the_defaults_are_this_installation(run: Run, tmp_path: Path) -> None:
    """This server's URL, the generated token of its data directory, the script along with it."""
    printed = run("--part", "master.cf", host="::", port=3210).stdout.split()
    start = printed.index(f"argv={SHARE / 'config' / 'postfix' / 'gomail-relay'}")
    assert printed[start + 1 : start + 3] == [
        "http://[::1]:3210/mail/inbound",
        str(tmp_path / "data" / "token"),
    ]
    assert "user=gomail" in printed


def test_a_configured_token_is_never_printed(run: Run) -> None:
    """The lines name a file to keep it in."""
    result = run("--part", "master.cf", bearer_token="k7" * 16)
    assert " /etc/gomail/token\n" in result.stdout
    assert "k7k7" not in result.output


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--part", "other.cf", "main.cf"),
        ("--url", "", "empty"),
        ("--url", "http://x/ y", "space"),
        ("--url", "http://x/\ny", "space"),
        ("--url", "http://${sender}/", "brace"),
        ("--url", "127.0.0.1:3000/mail/inbound", "not a URL"),
        ("--url", "http:///mail/inbound", "not a URL"),
        ("--token-file", "/a b", "space"),
        ("--token-file", "token", "begin with /"),
        ("--relay", "gomail-relay", "begin with /"),
        ("--relay", '/"x"', "quote"),
        ("--user", "$x", "$"),
        ("--user", "root", "root"),
        ("--user", "postfix:mail", "postfix"),
    ],
)
def test_a_bad_value_is_wrong_usage(run: Run, option: str, value: str, why: str) -> None:
    """2, the option and the reason; nothing that could be appended."""
    result = run("--part", "master.cf", option, value)
    assert (result.exit_code, result.stdout) == (2, "")
    assert option in result.stderr
    assert why in result.stderr


def test_the_part_has_to_be_said(run: Run) -> None:
    """There is no default that could land in the wrong file."""
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--part" in result.stderr


def test_a_data_directory_with_a_space_is_not_cut_in_two(run: Run) -> None:
    """The script would get nine arguments: the command says which option helps."""
    result = run("--part", "master.cf", data_dir="/srv/go mail")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--token-file" in result.stderr
    given = run("--part", "master.cf", "--token-file", "/srv/token", data_dir="/srv/go mail")
    assert (given.exit_code, given.stderr) == (0, "")


@pytest.mark.parametrize("part", ["main.cf", "master.cf"])
def test_an_invalid_configuration_is_told_as_validate_does(
    run: Run, tmp_path: Path, part: str
) -> None:
    """1, the same lines, and nothing that could be appended."""
    result = run("--part", part, port=-1, unknown_key=1)
    assert (result.exit_code, result.stdout) == (1, "")
    validated = CliRunner().invoke(validate, ["--config", str(tmp_path / "gomail.json")])
    assert result.stderr == validated.stderr
    assert result.stderr.count("\n") == 2


def test_warnings_do_not_get_into_main_cf(run: Run) -> None:
    """Missing domains are told on standard error alone."""
    with_domain = run("--part", "main.cf", primary_domain="example.com").stdout
    result = run("--part", "main.cf")
    assert result.exit_code == 0
    assert result.stdout == with_domain.replace("example.com", "$mydomain")
    assert result.stderr.startswith("warning: neither allowed_recipient_domains nor primary_domain")


def test_a_misfit_is_a_warning_beside_the_lines(run: Run, tmp_path: Path) -> None:
    """The size that Postfix has now is told on standard error; the lines hold the one to have."""
    file = tmp_path / "postconf"
    file.write_text("#!/bin/sh\necho 0\n")
    file.chmod(0o755)
    result = run("--part", "main.cf", primary_domain="example.com")
    assert "warning" not in result.stdout
    assert result.stderr.startswith("warning: Postfix accepts messages of up to 0 bytes")
