"""GoMail installed from a wheel, with no checkout near it."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from support.container import checkout_copy
from support.server import CHECKOUT, NewServer
from support.upload import MESSAGE

pytestmark = pytest.mark.image

DOCUMENT = CHECKOUT / "app" / "web" / "openapi.yaml"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory with the programs of an environment that has the wheel."""
    directory = tmp_path_factory.mktemp("wheel")
    checkout = checkout_copy(directory / "checkout")
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        directory,
        checkout,
    )
    [wheel] = directory.glob("gomail-*.whl")
    run(sys.executable, "-m", "venv", directory / "venv")
    programs = directory / "venv" / "bin"
    lock = checkout / "requirements.lock"
    run(programs / "pip", "install", "--quiet", "--require-hashes", "--requirement", lock)
    run(programs / "pip", "install", "--quiet", "--no-deps", wheel)
    return programs


def run(*command: str | Path) -> None:
    """Run a command that has to succeed."""
    subprocess.run(command, check=True, timeout=300)


def test_a_wheel_brings_all_that_the_server_reads(
    programs: Path, new_server: NewServer, tmp_path: Path
) -> None:
    """Settings, Gunicorn's configuration, migrations and the API's description are with it."""
    server = new_server().start((programs / "flask", "gomail", "server"), tmp_path)
    described = yaml.safe_load(DOCUMENT.read_text(encoding="utf-8"))
    assert server.request("GET", "/openapi.json").json() == described
    assert server.deliver(MESSAGE).status == 200
    assert server.scrape().value("emails_processed_total", status="success") == 1
    assert server.stop() == 0


def test_a_wheel_brings_the_relay(programs: Path, new_server: NewServer, tmp_path: Path) -> None:
    """`flask gomail postfix-config` names a script in the environment, and it can be run."""
    server = new_server().start((programs / "flask", "gomail", "server"), tmp_path)
    printed = subprocess.run(
        [programs / "flask", "gomail", "postfix-config", "--part", "master.cf"],
        cwd=tmp_path,
        env=server.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    relay = programs.parent / "share" / "gomail" / "config" / "postfix" / "gomail-relay"
    assert f"argv={relay} " in printed
    assert relay.stat().st_mode & 0o111
