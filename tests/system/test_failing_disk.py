import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.disk_image import DiskImage, mounted_disk_image
from support.numbered_mail import message
from support.outage import is_ready, is_reported_unhealthy
from support.server import NewServer, Server, wait_for
from support.small_disk import mounted_small_disk, without_inodes

from app.storage.sqlite.store import SQLiteStore

pytestmark = pytest.mark.promise(
    "what cannot be stored is answered 503, said by /health, and healed without a restart"
)

SMALL, LARGE = 1, 8  # numbers of such messages


@pytest.fixture
def few_inodes(tmp_path: Path) -> Iterator[Path]:
    """Return a directory with a file system of its own that holds 40 files."""
    with mounted_small_disk(tmp_path / "disk", ",nr_inodes=40") as directory:
        yield directory


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[DiskImage]:
    """Return an ext4 file system that can break."""
    with mounted_disk_image(tmp_path / "disk") as image:
        yield image


def deliver(server: Server, number: int, stored: dict[int, str]) -> None:
    """Deliver a message, which must be stored under the id that goes to `stored`."""
    answer = server.deliver(message(number), X_Original_Queue_Id=f"queue{number}")
    assert answer.status == 200, answer.body
    stored[number] = answer.json()["message_id"]


def assert_unavailable(server: Server, number: int) -> None:
    """Check that the message isn't taken."""
    answer = server.deliver(message(number), X_Original_Queue_Id=f"queue{number}")
    assert (answer.status, answer.json()["code"]) == (503, "storage_unavailable")


def reasons(server: Server) -> str:
    """Return why the worker that answers is unhealthy; nothing while it isn't."""
    return "".join(server.request("GET", "/health").json().get("reasons", ""))


def assert_all_stored(server: Server, stored: dict[int, str]) -> None:
    """Compare the bytes of the messages in `stored` with those that were sent."""
    store = SQLiteStore(server.data_dir)
    try:
        assert {n: store.read(id_) == message(n) for n, id_ in stored.items()} == dict.fromkeys(
            stored, True
        )
    finally:
        store.close()


def test_no_inodes_left_is_said_and_survived(few_inodes: Path, new_server: NewServer) -> None:
    """What needs a new file gets 503, /ready and /health tell; all is well again by itself."""
    server = new_server(workers=1, data_dir=few_inodes / "data").start()
    stored: dict[int, str] = {}
    deliver(server, SMALL, stored)
    workers = server.worker_pids()
    with without_inodes(few_inodes):
        wait_for(lambda: is_reported_unhealthy(server))
        wait_for(lambda: "No space left on device" in reasons(server))
        assert_unavailable(server, LARGE)
    wait_for(lambda: is_ready(server))
    deliver(server, SMALL + 1, stored)
    deliver(server, LARGE, stored)
    assert_all_stored(server, stored)
    assert server.worker_pids() == workers


def test_a_disk_that_the_kernel_makes_read_only_is_said(
    disk: DiskImage, new_server: NewServer
) -> None:
    """503, red, with the reason; after a repair of the disk and a start all mail is there."""
    server = new_server(data_dir=disk.directory / "data").start()
    stored: dict[int, str] = {}
    deliver(server, SMALL, stored)
    deliver(server, LARGE, stored)
    disk.break_down()
    for number in (SMALL + 1, LARGE + 8):
        assert_unavailable(server, number)
    wait_for(lambda: is_reported_unhealthy(server))
    wait_for(lambda: re.search("Read-only file system|Input/output error", reasons(server)))
    server.kill()
    disk.repair()
    server.start()
    deliver(server, SMALL + 1, stored)
    deliver(server, LARGE + 8, stored)
    assert_all_stored(server, stored)
