"""A PgBouncer before a PostgreSQL server, on loopback, that shares connections by transaction."""

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import psycopg
from support.postgresql_server import PostgreSQLServer
from support.requirement import require_program
from support.server import free_port, wait_for
from support.started import Started

START_SECONDS = 10
CONFIGURATION = """
[databases]
* = host=127.0.0.1 port={server.port} user=gomail

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 500
server_idle_timeout = 5
ignore_startup_parameters = extra_float_digits
"""


class PgBouncer(Started):
    """A context manager, which ends what it started and removes its files."""

    def __init__(self, server: PostgreSQLServer) -> None:
        self.program = require_program("pgbouncer")
        self.directory = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
        self.port = free_port()
        configuration = self.directory / "pgbouncer.ini"
        configuration.write_text(CONFIGURATION.format(server=server, port=self.port))
        # PgBouncer refuses to run as root.
        self.user = pwd.getpwnam("postgres").pw_name if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.directory, self.user)

    def __enter__(self) -> Self:
        self._started = subprocess.Popen(
            [self.program, "--quiet", self.directory / "pgbouncer.ini"],
            user=self.user,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._answers, START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def url(self, database: str) -> str:
        """Return the URL of a database of the server through this."""
        return f"postgresql://gomail@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.Error:
            return False
        return True
