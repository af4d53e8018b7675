"""The connections of one process to gomail.db."""

from contextlib import suppress
from pathlib import Path

from sqlalchemy import Engine, ExceptionContext, event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry

from app.storage.sqlite.database import BUSY_TIMEOUT_SECONDS, connect, is_damage
from app.storage.sqlite.generation import DAMAGED, generation_file, note_generation
from app.storage.sqlite.in_use import InUse
from app.storage.sqlite.shared_descriptor import SharedDescriptor


class Connections:
    """As long as any is open, nobody replaces the database.

    `usual` waits for other writers as long as a request may take, `probing` for a second, and
    `impatient` for hardly any time: it is for checkpoints, which readers keep from being complete.
    """

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._in_use = InUse(data_dir)
        self.file = SharedDescriptor(data_dir / "gomail.db")
        self.usual = self._engine(BUSY_TIMEOUT_SECONDS)
        self.probing = self._engine(1)
        self.impatient = self._engine(0.05)

    def note_failure(self, error: BaseException) -> None:
        """Let the next start make the database anew if it is damaged; `error` is the driver's."""
        if is_damage(error):
            with suppress(OSError):
                note_generation(generation_file(self._data_dir), DAMAGED)

    def close(self) -> None:
        """Close all of them."""
        for engine in (self.impatient, self.probing, self.usual):
            engine.dispose()
        self.file.release()
        self._in_use.release()

    def _engine(self, busy_timeout_seconds: float) -> Engine:
        engine = connect(self._data_dir / "gomail.db", busy_timeout_seconds)
        event.listen(engine, "do_connect", self._hold)
        event.listen(engine, "checkout", self._refuse_of_other_directory)
        event.listen(engine, "handle_error", self._on_error)
        return engine

    def _hold(
        self, _dialect: object, entry: ConnectionPoolEntry, _args: object, _options: object
    ) -> None:
        entry.info["directory"] = self._in_use.hold()

    def _refuse_of_other_directory(
        self, _connection: object, entry: ConnectionPoolEntry, _proxy: object
    ) -> None:
        """Let the pool open another one in place of a connection to a directory that is gone."""
        if self._in_use.hold() != entry.info.get("directory"):
            raise DisconnectionError

    def _on_error(self, context: ExceptionContext) -> None:
        self.note_failure(context.original_exception)
