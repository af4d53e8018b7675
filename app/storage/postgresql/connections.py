"""The connections of one process to PostgreSQL."""

import select
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection, Engine, ExceptionContext, QueuePool, create_engine, event
from sqlalchemy.exc import DisconnectionError

from app.errors import StorageUnavailable
from app.settings import Storage
from app.storage.interface import DatabaseRecorder
from app.storage.postgresql.bounded_connection import BinaryCursor, BoundedConnection
from app.storage.postgresql.durability import refuse_unless_kept

# A primary that has become a standby, and servers that stop, have stopped or are starting.
_END_THE_CONNECTION = frozenset(("25006", "57P01", "57P02", "57P03"))
_DEFAULTS: Mapping[str, Any] = {
    "application_name": "gomail",
    "client_encoding": "UTF8",
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "target_session_attrs": "read-write",
}
IDLE_SECONDS = 30
"""The longest pause between two statements of a transaction, after which the server ends it."""
_LIMIT_PAUSES = "SELECT set_config('idle_in_transaction_session_timeout', %b, true)"


class Connections:
    """A pool of connections, which are opened when they are first used.

    A statement fails when its answer takes longer than the time limit of the settings.
    """

    def __init__(
        self,
        settings: Storage,
        time_limit: float | None = None,
        recorder: DatabaseRecorder | None = None,
    ) -> None:
        """`time_limit`, in seconds, is used instead of that of the settings."""
        self._recorder = recorder
        self._url = settings.database_url or ""
        self._connect_seconds = settings.timeout
        self._time_limit = time_limit or settings.timeout
        # SQLAlchemy's pool, since psycopg's loses connections that break under SQLAlchemy; and a
        # creator, since SQLAlchemy can't read URLs with several hosts.
        self.engine = create_engine(
            "postgresql+psycopg://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=settings.pool_size,
            max_overflow=0,
            pool_timeout=settings.timeout,
            use_native_hstore=False,
            isolation_level="READ COMMITTED",  # whatever the role's default is
        )
        self._autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        event.listen(self.engine, "handle_error", _note_end)
        event.listen(self.engine, "checkout", _refuse_ended)

    @contextmanager
    def statements(self) -> Iterator[Connection]:
        """Return a connection on which each statement is a transaction."""
        with self._borrowed(self._autocommit) as connection:
            yield connection

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Return a connection whose statements are committed together at the end."""
        with self._borrowed(self.engine) as connection, connection.begin():
            _limit_pauses(connection)
            yield connection

    @contextmanager
    def durable_statements(self) -> Iterator[Connection]:
        """Return a connection on which each statement survives what a commit must survive.

        Raises StorageUnavailable at the end when a statement might not.
        """
        with self.statements() as connection, _without_warning(connection):
            yield connection

    @contextmanager
    def durable_transaction(self) -> Iterator[Connection]:
        """Return a connection whose statements are committed together, and survive as above.

        Raises StorageUnavailable when they don't: before anything is done if that is known.
        """
        with (
            self._borrowed(self.engine) as connection,
            _without_warning(connection),
            connection.begin(),
        ):
            _limit_pauses(connection)
            refuse_unless_kept(connection)
            yield connection

    def close(self) -> None:
        """Close all that aren't in use."""
        self.engine.dispose()

    @contextmanager
    def _borrowed(self, engine: Engine) -> Iterator[Connection]:
        began = time.perf_counter()
        with engine.connect() as connection:
            if self._recorder:
                self._recorder.database_pool_wait(time.perf_counter() - began)
            self._note_pool()
            yield connection
        self._note_pool()

    def _note_pool(self) -> None:
        pool = cast(QueuePool, self.engine.pool)
        if self._recorder:
            self._recorder.database_pool(in_use=pool.checkedout(), idle=pool.checkedin())

    def _connect(self) -> BoundedConnection:
        given = conninfo_to_dict(self._url)
        hosts = str(given.get("host") or given.get("hostaddr") or "").count(",") + 1
        limits = {
            "connect_timeout": max(2, self._connect_seconds // hosts),
            "tcp_user_timeout": self._connect_seconds * 1000,
        }
        try:
            connection = BoundedConnection.connect(
                make_conninfo(**{**_DEFAULTS, **limits, **given}),
                # PgBouncer may pass each transaction to another server's process.
                prepare_threshold=None,
                cursor_factory=BinaryCursor,
            )
        except psycopg.Error:
            if self._recorder:
                self._recorder.database_connect_error()
            raise
        connection.time_limit = self._time_limit
        connection.add_notice_handler(connection.note_warning)
        return connection


def _limit_pauses(connection: Connection) -> None:
    # A host that loses its power or its network in a transaction would hold up the readers of all
    # hosts until the server notices, which by default takes TCP hours.
    connection.exec_driver_sql(_LIMIT_PAUSES, (f"{IDLE_SECONDS}s",))


@contextmanager
def _without_warning(connection: Connection) -> Iterator[None]:
    driver = cast(BoundedConnection, connection.connection.driver_connection)
    driver.has_warned = False
    yield
    if driver.has_warned:
        raise StorageUnavailable(
            "The database server has committed without waiting for its standby."
        )


def _refuse_ended(connection: BoundedConnection, _entry: object, _proxy: object) -> None:
    """Let the pool open another connection in place of one that the server has ended.

    The server says nothing to a client that asks for nothing, except when it ends the connection.
    """
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def _note_end(context: ExceptionContext) -> None:
    """Let the pool replace its connections when a server has ended or can't be written to."""
    error = context.original_exception
    if isinstance(error, psycopg.Error) and error.sqlstate in _END_THE_CONNECTION:
        context.is_disconnect = True
