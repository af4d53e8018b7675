"""A PostgreSQL server on loopback that can be stopped, killed and started again."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import psycopg
from support.linux_process import children, kill_process
from support.requirement import require
from support.server import free_port, wait_for
from support.started import Started

START_SECONDS = 30
BINARIES = Path("/usr/lib/postgresql/15/bin")
# Promises about a kill hold without syncing; those about a power cut are not tested here.
USUAL_SETTINGS: Mapping[str, object] = {
    "listen_addresses": "127.0.0.1",
    "max_connections": 200,
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
}


class PostgreSQLServer(Started):
    """One cluster; a context manager, which ends what it started and removes its files."""

    def __init__(self, **settings: object) -> None:
        require((BINARIES / "postgres").exists(), "the package postgresql is missing")
        self.directory = Path(tempfile.mkdtemp(prefix="postgresql-"))
        self.data = self.directory / "data"
        self.port = free_port()
        self.settings = {**USUAL_SETTINGS, **settings}
        # PostgreSQL refuses to run as root.
        self.user = pwd.getpwnam("postgres").pw_name if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(self.directory, self.user)
        self._databases = 0

    def __enter__(self) -> Self:
        self.run("initdb", "-A", "trust", "--locale=C.UTF-8", "-k", "-U", "gomail", "-D", self.data)
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._started is not None and self._started.poll() is None:
            self.end()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, program: str, *arguments: object) -> None:
        """Run one of PostgreSQL's programs as the user of the server."""
        subprocess.run(
            [BINARIES / program, *map(str, arguments)],
            user=self.user,
            cwd=self.directory,
            stdout=subprocess.DEVNULL,
            check=True,
        )

    def start(self) -> Self:
        """Start the server and return it when it answers."""
        options = [f"-c{name}={value}" for name, value in self.settings.items()]
        self._started = subprocess.Popen(
            [
                BINARIES / "postgres",
                *("-D", self.data, "-p", str(self.port), "-k", self.directory),
                *options,
            ],
            user=self.user,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self._answers, START_SECONDS)
        return self

    def end(self) -> None:
        """Stop it at once, as a kill would: nothing is written any more."""
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait()

    def kill(self) -> None:
        """Kill all of its processes, none of which answers a client any more."""
        self.process.send_signal(signal.SIGSTOP)  # it must not replace the others meanwhile
        for pid in children(self.process.pid):
            kill_process(pid)
        super().kill()

    def clear(self) -> None:
        """Remove its cluster; it isn't running."""
        shutil.rmtree(self.data, ignore_errors=True)

    def configure(self, **settings: str) -> None:
        """Change settings while it runs, none of which it was started with."""
        for name, value in settings.items():
            self.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        self.execute("SELECT pg_reload_conf()")

    def wait_for_standby(self, name: str) -> None:
        """From now on let each commit wait for a standby of this name; for none if it is empty."""
        self.configure(synchronous_standby_names=name)
        wait_for(lambda: self.execute("SHOW synchronous_standby_names") == [(name,)])
        # New connections know the name, but none waits before the checkpointer has told them to;
        # it reads the settings before it begins a checkpoint, perhaps only before the second one.
        for _ in range(2):
            self.execute("CHECKPOINT")

    def freeze(self) -> None:
        """Stop all of its processes: connections stay open, and nobody answers."""
        self.process.send_signal(signal.SIGSTOP)
        for pid in children(self.process.pid):
            self._signal(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        for pid in children(self.process.pid):
            self._signal(pid, signal.SIGCONT)
        self.process.send_signal(signal.SIGCONT)

    def url(self, database: str = "postgres") -> str:
        """Return what database_url is set to."""
        return f"postgresql://gomail@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Create an empty database, and return its URL."""
        self._databases += 1
        name = f"gomail{self._databases}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement outside a transaction, and return its rows."""
        with psycopg.connect(self.url(database), autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    @staticmethod
    def _signal(pid: int, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def _answers(self) -> bool:
        try:
            return bool(self.execute("SELECT 1"))
        except psycopg.Error:
            return False
