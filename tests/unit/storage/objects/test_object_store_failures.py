"""However the object store fails, each call ends in time, says why, and leaves nothing behind."""

import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from support.failing_object_store import BAD_DIGEST, SLOW_DOWN, FailingObjectStore
from support.seaweedfs_server import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    SeaweedFSServer,
)
from support.server import free_port, wait_for

from app.errors import StorageUnavailable
from app.storage.objects.store import Objects

TIMEOUT = 2
TOLERANCE = 1.5  # of a busy machine
MIB = 1024 * 1024
SMALL, LARGE = 1000, 12 * MIB

Call = Callable[[Objects, str], object]
CALLS: dict[str, Call] = {
    "put": lambda objects, _: objects.put(fresh(objects), [bytes(SMALL)]),
    "put in parts": lambda objects, _: objects.put(fresh(objects), chunks(LARGE)),
    "read": lambda objects, name: list(objects.read(name, SMALL)),
    "read_beginning": lambda objects, name: objects.read_beginning(name, 10),
    "remove": lambda objects, name: objects.remove([name]),
    "stored": lambda objects, _: list(objects.stored()),
    "check": lambda objects, _: objects.check(),
    "now": lambda objects, _: objects.now(),
}
each_call = pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)


def fresh(objects: Objects) -> str:
    return objects.names.new(str(uuid4()), datetime(2026, 3, 9, tzinfo=UTC))


def chunks(size: int) -> Iterator[bytes]:
    return (bytes(64 * 1024) for _ in range(size // (64 * 1024)))


@pytest.fixture
def through(seaweedfs: SeaweedFSServer, failing: FailingObjectStore, prefix: str) -> Objects:
    """Return the objects below `prefix` as they are seen through the failing proxy."""
    return Objects(seaweedfs.settings(prefix, failing.url), TIMEOUT)


@pytest.fixture
def name(objects: Objects) -> str:
    """Return the name of an object of SMALL bytes."""
    name = fresh(objects)
    objects.put(name, [bytes(SMALL)])
    return name


def reason(call: Call, objects: Objects, name: str) -> str:
    """Return why the call has failed, which it must in time."""
    start = time.monotonic()
    with pytest.raises(StorageUnavailable) as caught:
        call(objects, name)
    assert time.monotonic() - start < TIMEOUT + TOLERANCE
    text = str(caught.value.__cause__)
    assert "\n" not in text
    return text


def names_in(objects: Objects) -> list[str]:
    return [each.name for some in objects.stored() for each in some]


@each_call
def test_nobody_listens(seaweedfs: SeaweedFSServer, prefix: str, call: Call, name: str) -> None:
    """The reason is told after few tries."""
    objects = Objects(seaweedfs.settings(prefix, f"http://127.0.0.1:{free_port()}"), TIMEOUT)
    assert reason(call, objects, name).endswith("connection refused")


@each_call
def test_it_hangs(
    failing: FailingObjectStore, through: Objects, objects: Objects, call: Call, name: str
) -> None:
    """Nothing is waited for longer than the time that is set, and it is used again afterwards."""
    with failing.hanging():
        assert reason(call, through, name).endswith("it didn't answer in time")
    assert b"".join(through.read(name, SMALL)) == bytes(SMALL)
    assert names_in(objects) == [name]


@each_call
def test_it_is_overloaded(
    failing: FailingObjectStore, through: Objects, objects: Objects, call: Call, name: str
) -> None:
    """It is asked three times each, not ten."""
    failing.refuse(SLOW_DOWN)
    assert reason(call, through, name).endswith("it answered 503 SlowDown") or (
        "HEAD" in failing.methods()  # has no body
    )
    assert len(failing.requests) == 3
    assert names_in(objects) == [name]


@each_call
def test_it_is_overloaded_once(
    failing: FailingObjectStore, through: Objects, call: Call, name: str
) -> None:
    """The second try succeeds, and nobody notices."""
    failing.refuse(SLOW_DOWN, times=1)
    call(through, name)


@pytest.mark.parametrize("call", [CALLS["put"], CALLS["put in parts"]], ids=["put", "in parts"])
def test_the_bytes_came_damaged(
    failing: FailingObjectStore, through: Objects, objects: Objects, call: Call, name: str
) -> None:
    """What the store refuses because of its checksum isn't there."""
    failing.concerns = lambda request: request.method == "PUT"
    failing.refuse(BAD_DIGEST)
    assert reason(call, through, name).endswith("it answered 400 BadDigest")
    assert names_in(objects) == [name]


def test_each_request_has_a_checksum(failing: FailingObjectStore, through: Objects) -> None:
    """A store can compare it only when it is sent: of a whole object, and of each part."""
    CALLS["put"](through, "")
    CALLS["put in parts"](through, "")
    puts = [each for each in failing.requests if each.method == "PUT"]
    assert len(puts) == 1 + 3
    assert all(len(each.headers["x-amz-checksum-sha256"]) == 44 for each in puts)


@pytest.mark.parametrize("call", [CALLS["read"], CALLS["read_beginning"], CALLS["stored"]])
def test_the_answer_is_cut_off(
    failing: FailingObjectStore, through: Objects, call: Call, name: str
) -> None:
    """A part of a message is never taken for the whole."""
    failing.cuts = True
    reason(call, through, name)


@pytest.mark.parametrize("call", [CALLS["read"], CALLS["read_beginning"]])
def test_the_answer_is_shorter(
    failing: FailingObjectStore, through: Objects, call: Call, name: str
) -> None:
    """Also when the answer says that it is whole."""
    failing.shortens = True
    assert "bytes" in reason(call, through, name)


@pytest.mark.parametrize(
    "fails", ["partNumber=2", "uploadId="], ids=["second part", "all after the first request"]
)
def test_an_upload_that_fails_is_taken_back(
    seaweedfs: SeaweedFSServer, failing: FailingObjectStore, through: Objects, *, fails: str
) -> None:
    """Its parts are gone too: they would cost money, and nobody would see them."""
    failing.concerns = lambda request: fails in request.path and request.method != "DELETE"
    failing.refuse(SLOW_DOWN)
    before = seaweedfs.unfinished_uploads()
    reason(CALLS["put in parts"], through, "")
    assert failing.methods()[-1] == "DELETE"
    assert names_in(through) == []
    assert seaweedfs.unfinished_uploads() == before


def test_an_upload_that_hangs_is_taken_back(
    failing: FailingObjectStore, through: Objects, objects: Objects, name: str
) -> None:
    """The client has its answer in time; the parts are removed a little later."""
    failing.concerns = lambda request: "partNumber=2" in request.path
    with failing.hanging():
        assert reason(CALLS["put in parts"], through, name).endswith("it didn't answer in time")
        wait_for(lambda: "DELETE" in failing.methods())
    assert names_in(objects) == [name]


def test_a_slow_store_is_not_read_ahead_for(failing: FailingObjectStore, through: Objects) -> None:
    """While a part is on its way, the rest of the message isn't in memory."""
    failing.concerns = lambda request: "partNumber=1" in request.path
    taken = 0

    def counted() -> Iterator[bytes]:
        nonlocal taken
        for chunk in chunks(LARGE):
            taken += len(chunk)
            yield chunk

    with failing.hanging(), pytest.raises(StorageUnavailable):
        through.put(fresh(through), counted())
    assert taken < 6 * MIB


def test_an_object_that_comes_too_late_is_removed(
    failing: FailingObjectStore, through: Objects, objects: Objects
) -> None:
    """A relay that tries again all day would leave one each time."""
    failing.concerns = lambda request: request.method == "POST" and "uploadId=" in request.path
    failing.passes_on_late = True
    late = fresh(objects)
    with failing.hanging(), pytest.raises(StorageUnavailable):
        through.put(late, slowly(6 * MIB, TIMEOUT / 2))
    wait_for(lambda: ("DELETE", f"/gomail/{late}") in [each[:2] for each in failing.requests])
    wait_for(lambda: names_in(objects) == [])


def slowly(size: int, seconds: float) -> Iterator[bytes]:
    """Yield bytes, but so late that a request that comes after them has its own time left."""
    yield from chunks(size)
    time.sleep(seconds)


def test_what_reads_the_message_may_fail(through: Objects, objects: Objects) -> None:
    """A disk that fails in the middle of an upload leaves no part of it."""

    def broken() -> Iterator[bytes]:
        yield from chunks(8 * MIB)
        raise OSError(5, "Input/output error")

    with pytest.raises(StorageUnavailable) as caught:
        through.put(fresh(objects), broken())
    assert str(caught.value.__cause__).endswith("Input/output error")
    assert names_in(objects) == []


@each_call
def test_no_secret_is_told(
    failing: FailingObjectStore,
    through: Objects,
    caplog: pytest.LogCaptureFixture,
    call: Call,
    name: str,
) -> None:
    """Neither the key nor what was signed, also when the error is logged with its causes."""
    failing.refuse((403, "SignatureDoesNotMatch"))
    with pytest.raises(StorageUnavailable) as caught:
        call(through, name)
    logged = "".join(traceback.format_exception(caught.value))
    told = caplog.text + repr(through) + str(caught.value) + logged
    for secret in (ACCESS_KEY_ID, SECRET_ACCESS_KEY, "Signature=", failing.url):
        assert secret not in told
