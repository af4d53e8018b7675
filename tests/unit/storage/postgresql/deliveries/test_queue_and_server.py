"""What the queue in PostgreSQL asks of its server, and what it does without one."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.deliveries import add_for, at, claim, failed, numbers
from support.postgresql_databases import Databases
from support.postgresql_host import Host
from support.postgresql_server import PostgreSQLServer
from support.server import free_port, wait_for

from app.errors import StorageUnavailable
from app.storage.delivery import DeliveryQuery
from app.storage.delivery_queue import DeliveryQueue

pytestmark = pytest.mark.server


@pytest.fixture
def own_server() -> Iterator[PostgreSQLServer]:
    with PostgreSQLServer(autovacuum="off") as server:
        yield server


def test_attempts_wait_for_no_standby(own_server: PostgreSQLServer, tmp_path: Path) -> None:
    """A failover may undo what became of them; what people decide about deliveries is kept."""
    url = Databases(own_server, tmp_path).new()
    with closing(Host(url)) as store:
        add_for(store, "app")
        own_server.wait_for_standby("nobody")
        queue = store.deliveries
        claims = claim(queue)
        assert queue.finish([failed(each, 1) for each in queue.renew(claims, at(60))]) == 1
        decision = threading.Thread(target=queue.discard, args=(numbers(claims),))
        decision.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
        wait_for(lambda: own_server.execute(waiting) == [(1,)])
        own_server.wait_for_standby("")
        decision.join()


@pytest.mark.parametrize(
    "action",
    [
        lambda queue: queue.find(DeliveryQuery()),
        lambda queue: queue.retry([1], at(0)),
        lambda queue: queue.finish([]),
        lambda queue: queue.figures(),
    ],
)
def test_without_a_server_it_is_unavailable(action: Callable[[DeliveryQueue], object]) -> None:
    """In the same words as any storage, with the driver's reason for the log."""
    url = f"postgresql://gomail@127.0.0.1:{free_port()}/none"
    with (
        closing(Host(url)) as store,
        pytest.raises(StorageUnavailable) as raised,
    ):
        action(store.deliveries)
    assert "refused" in str(raised.value.__cause__)


def test_connections_that_were_cut_are_replaced(
    own_server: PostgreSQLServer, tmp_path: Path
) -> None:
    """The first call fails; when the server is back, the next one finds everything."""
    url = Databases(own_server, tmp_path).new()
    with closing(Host(url)) as store:
        add_for(store, "app")
        own_server.kill()
        with pytest.raises(StorageUnavailable):
            claim(store.deliveries)
        own_server.start()
        assert len(claim(store.deliveries)) == 1
