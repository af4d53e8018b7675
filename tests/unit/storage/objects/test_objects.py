"""What is put into the object store comes back as it was, and goes when it is removed."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from support.clock import Clock
from support.seaweedfs_server import SeaweedFSServer

from app.errors import StorageUnavailable
from app.metrics.catalog import ObjectOperation
from app.storage.objects.names import Names
from app.storage.objects.store import Objects

MIB = 1024 * 1024
AT = datetime(2026, 3, 9, tzinfo=UTC)


def new_name(objects: Objects) -> str:
    return objects.names.new(str(uuid4()), AT)


def content(size: int) -> bytes:
    """Return bytes that are different in each piece of a message."""
    return (os.urandom(4099) * (size // 4099 + 1))[:size]


def in_chunks(whole: bytes, length: int = 64 * 1024) -> Iterator[bytes]:
    return (whole[start : start + length] for start in range(0, len(whole), length))


def names_in(objects: Objects) -> list[str]:
    return [each.name for some in objects.stored() for each in some]


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 5 * MIB, 5 * MIB + 1, 8 * MIB, 25 * MIB])
def test_the_bytes_are_the_same(objects: Objects, size: int) -> None:
    """Whatever the size, in one request or in parts."""
    name, whole = new_name(objects), content(size)
    objects.put(name, in_chunks(whole))
    assert b"".join(objects.read(name, size)) == whole


@pytest.mark.parametrize("lengths", [[17 * MIB], [1, 0, 6 * MIB, 3], [1000] * 6000])
def test_the_chunks_may_have_any_length(objects: Objects, lengths: list[int]) -> None:
    """A message that is in memory as one piece, and one that came in small ones."""
    name, chunks = new_name(objects), [content(length) for length in lengths]
    objects.put(name, chunks)
    assert b"".join(objects.read(name, sum(lengths))) == b"".join(chunks)


def test_the_beginning_is_read_without_the_rest(objects: Objects) -> None:
    """As many bytes as are asked for."""
    name, whole = new_name(objects), content(3 * MIB)
    objects.put(name, [whole])
    assert objects.read_beginning(name, 1000) == whole[:1000]
    assert objects.read_beginning(name, len(whole)) == whole
    assert objects.read_beginning(name, 0) == b""


@pytest.mark.parametrize("size", [999, 1001])
def test_an_object_of_another_size_is_none(objects: Objects, size: int) -> None:
    """A row says how long a message is; a shorter or longer one isn't it."""
    name = new_name(objects)
    objects.put(name, [bytes(1000)])
    with pytest.raises(StorageUnavailable) as caught:
        list(objects.read(name, size))
    assert f"1000 bytes of {size}" in str(caught.value.__cause__)


def test_a_beginning_longer_than_the_object_is_none(objects: Objects) -> None:
    """What is missing isn't passed over."""
    name = new_name(objects)
    objects.put(name, [bytes(1000)])
    with pytest.raises(StorageUnavailable, match="can't be used"):
        objects.read_beginning(name, 1001)


def test_a_missing_object_is_a_failure_of_the_store(objects: Objects) -> None:
    """It was acknowledged, so the bucket isn't the one it went to: nothing about the message."""
    with pytest.raises(StorageUnavailable) as caught:
        list(objects.read(new_name(objects), 1))
    assert str(caught.value.__cause__) == (
        "The object store failed at get: it answered 404 NoSuchKey"
    )


def test_what_is_removed_is_gone(objects: Objects) -> None:
    """Only the named objects are removed, and a missing one is not an error."""
    names = [new_name(objects) for _ in range(4)]
    for name in names:
        objects.put(name, [b"mail"])
    objects.remove([names[0], new_name(objects), names[1]])
    objects.remove([])
    assert names_in(objects) == sorted(names[2:])


def test_the_list_has_names_sizes_and_times(objects: Objects) -> None:
    """Times are those of the store's own clock, which `now` tells."""
    name = new_name(objects)
    before = objects.now()
    objects.put(name, [bytes(1234)])
    [found] = [each for some in objects.stored() for each in some]
    assert (found.name, found.size) == (name, 1234)
    assert before <= found.modified_at <= objects.now() < before + timedelta(minutes=5)


def test_a_long_list_comes_in_pages(objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each object once."""
    monkeypatch.setattr("app.storage.objects.store.LIST_LENGTH", 3)
    names = [new_name(objects) for _ in range(8)]
    for name in names:
        objects.put(name, [b""])
    assert sorted(names_in(objects)) == sorted(names)
    assert len(list(objects.stored())) == 3


def test_other_things_in_the_bucket_are_not_listed(
    seaweedfs: SeaweedFSServer, objects: Objects, prefix: str
) -> None:
    """Neither those of another installation, nor what a check has written, nor anybody's files."""
    other = Objects(seaweedfs.settings(f"{prefix}/other"), 10)
    other.put(new_name(other), [b"mail"])
    objects.put(f"{prefix}/2026/03/backup.tar", [b"no mail"])
    objects.check()
    assert names_in(objects) == []


def test_variables_of_other_programs_change_nothing(
    seaweedfs: SeaweedFSServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the AWS command line is told on this host isn't where GoMail's mail goes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_REGION", "eu-north-1")
    monkeypatch.setenv("AWS_BUCKET", "another")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of-another-key")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another-key")
    monkeypatch.setenv("AWS_VIRTUAL_HOSTED_STYLE_REQUEST", "true")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    objects = Objects(seaweedfs.settings(prefix), 10)
    name = new_name(objects)
    objects.put(name, [b"mail"])
    assert names_in(objects) == [name]


def test_each_name_is_new() -> None:
    """Also for the same message at the same time, so that an old object is never replaced."""
    names, message_id = Names("mail"), str(uuid4())
    made = {names.new(message_id, AT) for _ in range(10_000)}
    assert len(made) == 10_000
    assert all(each.startswith(f"mail/2026/03/{message_id}-") for each in made)
    assert all(map(names.is_own, made))
    assert not any(map(Names("").is_own, made))
    assert Names("").is_own(Names("").new(message_id, AT))


def test_a_check_is_kept_for_some_seconds(seaweedfs: SeaweedFSServer, prefix: str) -> None:
    """Anyone may ask for /health, and each object that is written costs."""
    clock, counted = Clock(0.0), Counted()
    objects = Objects(seaweedfs.settings(prefix), 10, counted, clock)
    for seconds in (0, 4, 2, 1):
        clock.now += seconds
        objects.check()
    assert counted.operations == [("check", True), ("check", True)]


def test_operations_are_counted(seaweedfs: SeaweedFSServer, prefix: str) -> None:
    """Each by its kind, and whether it succeeded."""
    counted = Counted()
    objects = Objects(seaweedfs.settings(prefix), 10, counted)
    name = new_name(objects)
    objects.put(name, [b"mail"])
    objects.read_beginning(name, 4)
    assert list(objects.read(name, 4)) == [b"mail"]
    objects.remove([name])
    with pytest.raises(StorageUnavailable):
        list(objects.read(name, 4))
    assert counted.operations == [
        *[("put", True), ("get", True), ("get", True), ("delete", True), ("get", False)]
    ]


class Counted:
    """Remembers what is counted."""

    def __init__(self) -> None:
        self.operations: list[tuple[str, bool]] = []

    def object_store_operation(self, operation: ObjectOperation, *, succeeded: bool) -> None:
        self.operations.append((operation, succeeded))
