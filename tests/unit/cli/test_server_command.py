import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

import pytest
from click.testing import CliRunner
from support.tokens import TOKEN

from app.cli.server import server
from app.settings import SHARE, load
from app.settings.schema import flag, has_flag, properties

Become = Callable[..., tuple[list[str], Mapping[str, str]]]


class Replaced(Exception):
    """Stands for the moment at which the process would have become another program."""


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Become:
    """Run the command and return the arguments and the environment of the new program."""
    monkeypatch.setattr(os, "environ", dict(os.environ))

    def replace(path: str, arguments: list[str]) -> NoReturn:
        raise Replaced(path, arguments)

    monkeypatch.setattr(os, "execv", replace)

    def run(*arguments: str, **variables: str) -> tuple[list[str], Mapping[str, str]]:
        os.environ.update(variables)
        result = CliRunner().invoke(server, arguments)
        assert isinstance(result.exception, Replaced), result.output
        return result.exception.args[1], os.environ

    return run


def test_the_process_becomes_gunicorn_with_its_configuration(become: Become) -> None:
    """The new program is Gunicorn of the same interpreter, with the configuration of GoMail."""
    arguments, _ = become("--config", "/dev/null")
    assert arguments == [
        str(Path(sys.executable).with_name("gunicorn")),
        "--config",
        str(SHARE / "gunicorn.conf.py"),
        "wsgi:app",
    ]


def test_flags_reach_the_server_through_its_environment(become: Become) -> None:
    """What the server loads from the environment is what the flags said, lists included."""
    _, environ = become(
        *("--config", "/dev/null", "--port", "4000", "--blocked-domains", "a.example,b.example"),
        *("--metrics-enabled", "false"),
    )
    settings = load(environ=environ)
    assert settings.server.port == 4000
    assert settings.mail.blocked_domains == {"a.example", "b.example"}
    assert settings.metrics.enabled is False


def test_a_token_is_not_in_the_arguments_and_outranks_the_file_of_a_variable(
    become: Become, tmp_path: Path
) -> None:
    """Process arguments are public; a flag wins over MAIL_BEARER_TOKEN_FILE."""
    secret = tmp_path / "token"
    secret.write_text("x1" * 16, encoding="utf-8")
    arguments, environ = become(
        "--config", "/dev/null", "--token", TOKEN, MAIL_BEARER_TOKEN_FILE=str(secret)
    )
    assert TOKEN not in " ".join(arguments)
    assert load(environ=environ).authentication.bearer_tokens == (TOKEN,)


def test_the_configuration_file_is_handed_on_as_an_absolute_path(
    become: Become, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server finds the file again whatever its working directory is."""
    (tmp_path / "mine.yaml").write_text("port: 4001\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    _, environ = become("--config", "mine.yaml")
    monkeypatch.chdir("/")
    assert Path(environ["MAIL_CONFIG"]) == tmp_path / "mine.yaml"
    assert load(environ=environ).server.port == 4001


def test_there_is_a_flag_for_each_key() -> None:
    """The help names every flag with its description."""
    output = " ".join(CliRunner().invoke(server, ["--help"], terminal_width=200).output.split())
    for key, known in properties().items():
        assert (f"{flag(key)} " in output) == has_flag(key)
        assert (known["description"] in output) == has_flag(key)
