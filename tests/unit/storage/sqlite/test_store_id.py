"""The file that holds the id of a store."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from app.errors import StorageUnavailable
from app.storage.sqlite.creation import create_store, reindex
from app.storage.sqlite.store_id import store_id


def test_concurrent_first_calls_return_the_same_id(tmp_path: Path) -> None:
    """The file is readable only by its owner, and no other file is left."""
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(store_id, [tmp_path] * 8))) == 1
    [path] = tmp_path.iterdir()
    assert path.name == "store-id"
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_id_survives_a_lost_index(data_dir: Path) -> None:
    """So cursors stay valid when the database is rebuilt; another store has another id."""
    with closing(create_store(data_dir)) as store:
        assert (data_dir / "store-id").is_file()
        identity = store.identity()
    reindex(data_dir, lambda _: None)
    (data_dir / "gomail.db").unlink()
    (data_dir / "store-id.new").write_text("half")
    with closing(create_store(data_dir)) as store:
        assert store.identity() == identity
    assert not (data_dir / "store-id.new").exists()
    with closing(create_store(data_dir.with_name("other"))) as other:
        assert other.identity() != identity


@pytest.mark.parametrize("damaged", [b"", b"\xff", b"0123", b"0123456789abcdeg", b"01" * 9])
def test_a_damaged_id_is_not_used(data_dir: Path, damaged: bytes) -> None:
    """The error says what to do, since a new id would invalidate all cursors; a start succeeds."""
    create_store(data_dir).close()
    (data_dir / "store-id").write_bytes(damaged)
    with (
        closing(create_store(data_dir)) as store,
        pytest.raises(StorageUnavailable, match="remove it"),
    ):
        store.identity()
    assert (data_dir / "store-id").read_bytes() == damaged
