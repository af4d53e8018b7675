"""Which modules commands import: `messages list` and `show` have to be fast."""

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.store import add

from app.cli import gomail
from app.cli.deliveries import deliveries
from app.cli.endpoints import endpoints
from app.cli.messages import messages
from app.storage.sqlite.creation import create_store

# Modules whose import takes more than 20 ms, and which these commands don't need.
HEAVY = (
    *("alembic", "redis", "marshmallow", "prometheus_client", "gunicorn", "app.services"),
    *("psycopg", "obstore"),
)
READING = ("lxml", "mailparser_reply")
MODULES_OF = """
import json, sys
from app.cli import gomail
try:
    gomail(sys.argv[1:])
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.stderr)
"""


def imported_by(data_dir: Path, *arguments: str) -> set[str]:
    """Run a command and return the modules that it has imported."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES_OF, *arguments, "--config", "/dev/null"],
        env={"MAIL_DATA_DIR": str(data_dir)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (["messages", "list"], [*HEAVY, *READING]),
        (["messages", "list", "--after", ""], [*HEAVY, *READING]),
        (["messages", "show", "0"], HEAVY),
        (["deliveries", "list"], [*HEAVY, *READING]),
        (["endpoints", "list"], [*HEAVY, *READING]),
    ],
)
def test_a_look_up_imports_what_it_needs(
    data_dir: Path, arguments: list[str], unneeded: list[str]
) -> None:
    """None of the packages whose import would take longer than the query itself."""
    with closing(create_store(data_dir)) as store:
        add(store, b"Subject: x\r\n\r\nHi")
    modules = imported_by(data_dir, *arguments)
    assert "app.storage.sqlite.store" in modules
    assert [each for each in unneeded if each in modules] == []


@pytest.mark.parametrize("group", [gomail, messages, deliveries, endpoints])
def test_the_help_tells_of_every_command(group: click.Group) -> None:
    """Including commands that aren't imported yet, each with its own help."""
    listed = CliRunner().invoke(group, ["--help"])
    assert listed.exit_code == 0
    for name in group.list_commands(click.Context(group)):
        assert f"\n  {name} " in listed.output
        assert CliRunner().invoke(group, [name, "--help"]).exit_code == 0


def test_an_unknown_command_is_a_usage_error() -> None:
    """As with any other group."""
    done = CliRunner().invoke(gomail, ["massages"])
    assert done.exit_code == 2
    assert "No such command 'massages'" in done.output
