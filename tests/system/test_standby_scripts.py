"""The scripts of config/several-hosts/ make a synchronous standby, which can take over."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from support.postgresql_server import BINARIES, PostgreSQLServer
from support.server import free_port, wait_for

ROOT = Path(__file__).parents[2]
SCRIPTS = ROOT / "config" / "several-hosts"
PAGE = (ROOT / "docs" / "several-hosts.md").read_text(encoding="utf-8")
ENTRYPOINT = f"""#!/bin/sh
exec {BINARIES}/"$@" -p "$STANDBY_PORT" -k "$PGDATA/.."
"""
SYNCHRONOUS = (
    "SELECT 1 FROM pg_stat_replication WHERE application_name = 'db2' AND sync_state = 'quorum'"
)

WAITING = "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"

# As in compose.yaml, with as many connections as the primary: fewer aren't allowed.
COMMAND = ("postgres", "-c", "max_connections=200", "-c", "wal_retrieve_retry_interval=500ms")


def copied(script: str, directory: Path) -> Path:
    """Copy a script to where PostgreSQL's user can read it, which may not be true of a checkout."""
    return Path(shutil.copy(SCRIPTS / script, directory))


class Standby:
    """What standby.sh has started, as the official image would run it."""

    def __init__(self, primary: PostgreSQLServer) -> None:
        self.primary = primary
        self.port = free_port()
        directory = primary.directory / "standby"
        self._prepare(directory)
        self._environment = {
            **os.environ,
            "PATH": f"{directory}:{BINARIES}:{os.environ['PATH']}",
            "PGDATA": str(directory / "data"),
            # db1 is a name of Compose's network only.
            "PGHOSTADDR": "127.0.0.1",
            "PGPORT": str(primary.port),
            "POSTGRES_USER": "gomail",
            "POSTGRES_PASSWORD_FILE": str(directory / "password"),
            "STANDBY_PORT": str(self.port),
        }
        self.process = self.start()

    def _prepare(self, directory: Path) -> None:
        subprocess.run(
            ["install", "--directory", "--mode=0700", directory, directory / "data"],
            user=self.primary.user,
            check=True,
        )
        (directory / "password").write_text("trusted anyway", encoding="ascii")
        entrypoint = directory / "docker-entrypoint.sh"
        entrypoint.write_text(ENTRYPOINT, encoding="ascii")
        entrypoint.chmod(0o755)

    def start(self) -> "subprocess.Popen[bytes]":
        """Run standby.sh, the first time or again."""
        return subprocess.Popen(
            ["/bin/sh", copied("standby.sh", self.primary.directory), *COMMAND],
            user=self.primary.user,
            env=self._environment,
            cwd=self.primary.directory,
            stderr=subprocess.DEVNULL,
        )

    def end(self) -> None:
        """Stop it at once."""
        self.process.terminate()
        self.process.wait()

    def execute(self, statement: str) -> object:
        """Run a statement on the standby; return the first value."""
        url = f"postgresql://gomail@127.0.0.1:{self.port}/postgres?connect_timeout=5"
        with psycopg.connect(url, autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            row = cursor.fetchone() if cursor.description else None
            return row[0] if row else None


@pytest.fixture
def primary() -> Iterator[PostgreSQLServer]:
    """Return a server that primary.sh has prepared, started again as the image does then."""
    with PostgreSQLServer() as server:
        environment: Mapping[str, str] = {
            **os.environ,
            "PATH": f"{BINARIES}:{os.environ['PATH']}",
            "PGDATA": str(server.data),
            "PGHOST": str(server.directory),
            "PGPORT": str(server.port),
            "POSTGRES_USER": "gomail",
            "POSTGRES_DB": "postgres",
        }
        subprocess.run(
            ["/bin/sh", copied("primary.sh", server.directory)],
            user=server.user,
            env=environment,
            cwd=server.directory,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        server.end()
        yield server.start()


@pytest.fixture
def standby(primary: PostgreSQLServer) -> Iterator[Standby]:
    """Return what standby.sh makes of it, once commits wait for it."""
    started = Standby(primary)
    try:
        wait_for(lambda: primary.execute(SYNCHRONOUS))
        yield started
    finally:
        started.end()


def test_a_commit_is_on_both(primary: PostgreSQLServer, standby: Standby) -> None:
    """Each waits for the standby, which may be started again without another copy."""
    primary.execute("CREATE TABLE kept AS SELECT 1 AS number")
    assert standby.execute("SELECT number FROM kept") == 1
    standby.end()
    with ThreadPoolExecutor(1) as pool:
        change = pool.submit(primary.execute, "UPDATE kept SET number = 2")
        wait_for(lambda: primary.execute(WAITING))
        assert not change.done()
        standby.process = standby.start()
        change.result()
    assert standby.execute("SELECT number FROM kept") == 2


def test_the_standby_takes_over_as_the_page_says(
    primary: PostgreSQLServer, standby: Standby
) -> None:
    """The commands of docs/several-hosts.md make a primary of it that waits for nobody."""
    primary.execute("CREATE TABLE kept AS SELECT 1 AS number")
    primary.kill()
    commands = re.findall(r'--command="([^"]+)"', PAGE)
    assert len(commands) == 2
    for command in commands:
        standby.execute(command)
    assert standby.execute("SELECT pg_is_in_recovery()") is False
    standby.execute("UPDATE kept SET number = 2")
    assert standby.execute("SELECT number FROM kept") == 2
