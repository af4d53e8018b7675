import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.endpoints import SECRET
from support.tokens import TOKEN

from app.settings.endpoints import with_defaults

FLASK = Path(sys.executable).with_name("flask")

Gomail = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def gomail(tmp_path: Path) -> Gomail:
    """Run `flask gomail …` in an empty directory with nothing configured."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MAIL_", "FLASK_"))
    }

    def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [FLASK, "gomail", *map(str, arguments)],
            cwd=tmp_path,
            env=environ | variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return run


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "bad.json"
    path.write_text('{"port": -1, "bearer_token": "weak"}\n', encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.mark.promise("every fault of a configuration is reported, not the first")
def test_every_fault_of_a_file_is_named_and_the_exit_code_is_1(gomail: Gomail, bad: Path) -> None:
    """Both faults are lines of their own, without a traceback and without the token."""
    result = gomail("validate", "--config", bad)
    assert result.returncode == 1
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["port", "bearer_token"]
    assert result.stdout == f"{bad}: invalid, 2 errors, 0 warnings\n"
    assert "weak" not in result.stderr.replace("well-known", "")


def test_defaults_are_valid_without_any_configuration(gomail: Gomail) -> None:
    """Nothing configured is fine: one line, no warning of Flask's."""
    result = gomail("validate")
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == "defaults and environment: valid, 0 errors, 0 warnings\n"
    assert gomail("validate", "--config", "/dev/null").returncode == 0


def test_json_holds_the_effective_configuration_with_secrets_masked(gomail: Gomail) -> None:
    """The four members are there, the environment is applied, the token isn't shown."""
    result = gomail(
        "validate", "--json", MAIL_PORT="4000", MAIL_BEARER_TOKEN=f"{TOKEN},{TOKEN}{TOKEN}"
    )
    document = json.loads(result.stdout)
    assert (result.returncode, result.stderr) == (0, "")
    assert list(document) == ["valid", "errors", "warnings", "config"]
    assert (document["valid"], document["errors"], document["warnings"]) == (True, [], [])
    assert document["config"]["port"] == 4000
    assert document["config"]["bearer_token"] == ["***", "***"]
    assert TOKEN not in result.stdout


def test_json_holds_endpoints_with_what_gives_access_masked(gomail: Gomail, tmp_path: Path) -> None:
    """Each with all that is in force for it; no secret, and no query of a URL."""
    (tmp_path / "secret").write_text(SECRET)
    given = {"name": "app", "url": "https://x.example/hook?k=Pl4nted", "secret_file": "secret"}
    result = gomail(
        "validate",
        "--json",
        MAIL_ENDPOINTS=json.dumps([given]),
        MAIL_WEBHOOK_URL="https://x.example/?k=Pl4nted",
        MAIL_WEBHOOK_SECRET_FILE="secret",
    )
    document = json.loads(result.stdout)
    assert (result.returncode, result.stderr, document["valid"]) == (0, "", True)
    assert document["config"]["webhook_url"] == "https://x.example/?***"
    assert document["config"]["webhook_secret"] == "***"
    [shown] = document["config"]["endpoints"]
    assert shown == with_defaults(given | {"url": "https://x.example/hook?***"})
    assert (shown["timeout"], shown["recipients"]) == (30, ["*"])
    assert SECRET not in result.stdout
    assert "Pl4nted" not in result.stdout


def test_a_fault_of_an_endpoint_has_its_path_as_key(gomail: Gomail) -> None:
    """A script finds the member, and --strict counts http over the Internet."""
    given = [{"name": "a", "url": "http://x.example/", "timeot": 5}]
    result = gomail("validate", "--json", "--strict", MAIL_ENDPOINTS=json.dumps(given))
    assert result.returncode == 1
    assert json.loads(result.stdout)["errors"] == [
        {
            "key": "endpoints[0].timeot",
            "message": "is unknown (nearest: timeout); set by MAIL_ENDPOINTS",
        },
        {
            "key": "endpoints[0].url",
            "message": "sends mail to x.example unencrypted (better: https)",
        },
    ]


def test_json_holds_each_error_as_key_and_message(gomail: Gomail, bad: Path) -> None:
    """A script reads the faults without parsing lines."""
    result = gomail("validate", "--json", "--config", bad)
    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert document["valid"] is False
    assert document["errors"][0] == {
        "key": "port",
        "message": "-1 is below the minimum (allowed: 1 to 65535)",
    }
    assert document["config"]["bearer_token"] == "***"


def test_strict_makes_warnings_errors(gomail: Gomail) -> None:
    """A short token passes with a warning, and fails when warnings count."""
    loose = gomail("validate", MAIL_BEARER_TOKEN="test-token")
    strict = gomail("validate", "--strict", "--json", MAIL_BEARER_TOKEN="test-token")
    assert loose.returncode == 0
    assert loose.stderr == "warning: bearer_token: is shorter than 32 characters\n"
    document = json.loads(strict.stdout)
    assert (strict.returncode, document["valid"], document["warnings"]) == (1, False, [])
    assert [error["key"] for error in document["errors"]] == ["bearer_token"]


def test_show_schema_prints_the_schema_alone(gomail: Gomail) -> None:
    """The output is the JSON Schema, even while the configuration is broken."""
    result = gomail("validate", "--show-schema", MAIL_PORT="broken")
    assert (result.returncode, result.stderr) == (0, "")
    assert "port" in json.loads(result.stdout)["properties"]


def test_wrong_usage_is_2_and_a_missing_file_is_1(gomail: Gomail, tmp_path: Path) -> None:
    """The command line's own faults differ from those of the configuration."""
    missing = tmp_path / "missing.yaml"
    assert gomail("validate", "--nope").returncode == 2
    result = gomail("validate", "--config", missing)
    assert result.returncode == 1
    assert result.stderr == f"config: {missing} does not exist\n"


def test_a_broken_wsgi_module_in_the_directory_does_not_matter(
    gomail: Gomail, tmp_path: Path
) -> None:
    """The command never loads an application."""
    (tmp_path / "wsgi.py").write_text("raise SystemExit('loaded')\n", encoding="utf-8")
    assert gomail("validate").returncode == 0


@pytest.mark.promise("the server refuses what validate refuses, with the same lines")
def test_the_server_refuses_with_the_lines_of_validate(gomail: Gomail, bad: Path) -> None:
    """Nothing starts on an invalid configuration, and the reasons are the same."""
    refused = gomail("server", "--config", bad)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr == gomail("validate", "--config", bad).stderr


def test_a_flag_of_the_server_outranks_variable_and_file(gomail: Gomail, bad: Path) -> None:
    """The flag's value is the one that is judged."""
    result = gomail("server", "--config", bad, "--port", "70000", MAIL_PORT="-5")
    assert "port: 70000 is above the maximum (allowed: 1 to 65535)\n" in result.stderr
