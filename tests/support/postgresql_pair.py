"""Two PostgreSQL servers: a primary, and a standby that has each commit before it is reported."""

from contextlib import ExitStack
from itertools import count
from typing import Any, Self

from support.postgresql_server import PostgreSQLServer
from support.server import wait_for

REPLICATION_SECONDS = 30
# As docs/several-hosts.md has them, but in more of a hurry.
SETTINGS = {"wal_retrieve_retry_interval": "200ms", "client_connection_check_interval": "1s"}


class PostgreSQLPair:
    """A context manager, which ends what it started; `fail_over` exchanges the two."""

    def __init__(self) -> None:
        self.primary = PostgreSQLServer(**SETTINGS)
        self.standby = PostgreSQLServer(**SETTINGS)
        self._ports = (self.primary.port, self.standby.port)
        self._stack = ExitStack()
        self._slots = count(1)

    def __enter__(self) -> Self:
        self._stack.push(self.standby)
        self._stack.enter_context(self.primary)
        self.copy_to_standby()
        return self

    def __exit__(self, *details: Any) -> None:
        self._stack.__exit__(*details)

    def url(self, database: str = "postgres") -> str:
        """Return what database_url is set to: both servers, of which the primary is taken."""
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        return f"postgresql://gomail@{hosts}/{database}?target_session_attrs=read-write"

    def new_database(self) -> str:
        """Create an empty database, and return its URL."""
        return self.url(self.primary.new_database().rpartition("/")[2])

    def execute(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement on the primary, outside a transaction, and return its rows."""
        return self.primary.execute(statement, database)

    def copy_to_standby(self) -> None:
        """Make the standby anew from the primary, which reports no commit without it from then on.

        The copy is made before the primary is told so: else a standby that is promoted would want
        one of its own at once.
        """
        self.standby.clear()
        self.standby.run(
            "pg_basebackup",
            *("-h", "127.0.0.1", "-p", self.primary.port, "-U", "gomail"),
            *("-D", self.standby.data, "-R", "-C", "-S", f"standby{next(self._slots)}"),
            *("--checkpoint=fast", "--no-sync"),
        )
        self.standby.start()
        self.primary.configure(synchronous_standby_names="*")
        wait_for(self.is_synchronous, REPLICATION_SECONDS)

    def is_synchronous(self) -> bool:
        """Tell whether the standby has each commit before it is reported."""
        return self.execute("SELECT sync_state FROM pg_stat_replication") == [("sync",)]

    def fail_over(self) -> None:
        """Kill the primary and promote the standby, which is alone from then on."""
        self.primary.kill()
        self.primary, self.standby = self.standby, self.primary
        self.execute("SELECT pg_promote()")
