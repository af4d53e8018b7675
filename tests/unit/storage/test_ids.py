from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.storage.ids import milliseconds_since_epoch, new_message_id

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECONDS = st.integers(0, 253_402_300_799_999)  # until the end of year 9999


def at(milliseconds: int) -> datetime:
    return EPOCH + timedelta(milliseconds=milliseconds)


def test_an_id_is_a_uuid_of_version_7() -> None:
    """Version, variant and the first 48 bits are what RFC 9562 demands."""
    identity = UUID(new_message_id(at(1_700_000_000_123)))
    assert (identity.version, identity.variant) == (7, RFC_4122)
    assert identity.int >> 80 == 1_700_000_000_123


def test_ids_of_one_moment_differ() -> None:
    """10,000 ids made in the same millisecond are 10,000 different ones."""
    assert len({new_message_id(at(1)) for _ in range(10_000)}) == 10_000


@given(MILLISECONDS)
def test_milliseconds_are_exact(milliseconds: int) -> None:
    """No moment in whole milliseconds moves to the one before by binary fractions."""
    assert milliseconds_since_epoch(at(milliseconds)) == milliseconds


@given(MILLISECONDS.filter(bool))
def test_ids_sort_by_time(milliseconds: int) -> None:
    """An id sorts after each one of the millisecond before."""
    before, after = new_message_id(at(milliseconds - 1)), new_message_id(at(milliseconds))
    assert before < after


@pytest.mark.parametrize("moment", [datetime(1, 1, 1, tzinfo=UTC), EPOCH - timedelta(seconds=1)])
def test_moments_before_1970_count_as_1970(moment: datetime) -> None:
    """A UUIDv7 holds nothing earlier, and a time given by a person may be."""
    assert milliseconds_since_epoch(moment) == 0
