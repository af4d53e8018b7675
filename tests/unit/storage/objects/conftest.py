from collections.abc import Iterator
from uuid import uuid4

import pytest
from support.failing_object_store import FailingObjectStore
from support.seaweedfs_server import SeaweedFSServer

from app.storage.objects.store import Objects

TIMEOUT = 20


@pytest.fixture
def prefix() -> str:
    """Return a prefix in the bucket that no other test uses."""
    return f"of/{uuid4()}"


@pytest.fixture
def objects(seaweedfs: SeaweedFSServer, prefix: str) -> Objects:
    """Return the objects below `prefix`; there are none yet."""
    return Objects(seaweedfs.settings(prefix), TIMEOUT)


@pytest.fixture
def failing(seaweedfs: SeaweedFSServer) -> Iterator[FailingObjectStore]:
    """Return a proxy in front of the object store."""
    with FailingObjectStore(seaweedfs.port) as proxy:
        yield proxy
