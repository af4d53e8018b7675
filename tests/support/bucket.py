"""The objects of one store, seen from the bucket and from the database."""

from uuid import uuid4

import psycopg
from support.seaweedfs_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedFSServer

from app.storage.objects.store import Objects

TIMEOUT_SECONDS = 20
_NAMED = "SELECT object_key FROM message WHERE object_key IS NOT NULL"
_OBJECT_OF = "SELECT object_key FROM message WHERE id = %s"
_ERASURES = "SELECT object_key FROM erasure"


class Bucket:
    """The part of the bucket that the store in `database_url` has for itself."""

    def __init__(self, seaweedfs: SeaweedFSServer, database_url: str) -> None:
        self._settings = seaweedfs.settings(f"of/{uuid4()}")
        self._database_url = database_url
        self.objects = Objects(self._settings, TIMEOUT_SECONDS)

    def server_settings(self, endpoint: str) -> dict[str, object]:
        """Return what a server has to be given to use it through a proxy, `endpoint`."""
        return {
            "object_store_url": self._settings.url,
            "object_store_endpoint": endpoint,
            "object_store_access_key_id": ACCESS_KEY_ID,
            "object_store_secret_access_key": SECRET_ACCESS_KEY,
        }

    def names(self) -> set[str]:
        """Return the names of all objects that are there."""
        return {each.name for some in self.objects.stored() for each in some}

    def names_in_rows(self) -> set[str]:
        """Return the names that the rows of messages have."""
        return self._selected(_NAMED)

    def names_to_be_erased(self) -> set[str]:
        """Return the names of objects whose messages were deleted."""
        return self._selected(_ERASURES)

    def name_of(self, message_id: str) -> str:
        """Return the name of the object that has the bytes of this message."""
        [name] = self._selected(_OBJECT_OF, message_id)
        return name

    def _selected(self, statement: str, *parameters: str) -> set[str]:
        with psycopg.connect(self._database_url) as connection:
            return {name for (name,) in connection.execute(statement.encode(), parameters)}
