"""What deliveries know of a message is erased with it."""

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from support.deliveries import add_for, at, attempt, claim
from support.store import files_with

from app.storage.delivery import KEPT_ATTEMPTS, Claim, DeliveryQuery, Replay, Result, State
from app.storage.message import Reason
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

TRIES = KEPT_ATTEMPTS + 2
FORGOTTEN = 5


def word(recipient: str, tries: int) -> bytes:
    """Return what one answer says and no other."""
    return f"answer to {recipient} {tries:02} {random.Random(tries).randbytes(4).hex()}".encode()


def failed(claimed: Claim, tries: int) -> Result:
    """Return the result of a failure whose answer says the word, with text of any length."""
    answer = word(claimed.delivery.recipient, tries).ljust(tries * 40, b".")
    made = replace(attempt(tries), answer=answer)
    return Result(claimed, State.PENDING, at(0), spends=False, attempt=made, reason="refused")


def fill(store: SQLiteStore) -> list[str]:
    """Store messages whose deliveries have failed again and again; return their ids."""
    receipts = [add_for(store, "app", recipient=f"{number:03}@x.example") for number in range(60)]
    for tries in range(TRIES):
        claims = claim(store.deliveries, seconds=100)
        store.deliveries.finish([failed(each, tries) for each in claims])
    store.deliveries.forget_attempts(at(FORGOTTEN))
    return [each.message_id for each in receipts]


def test_answers_are_erased_with_their_message(data_dir: Path) -> None:
    """Also those that were too many or forgotten before; what belongs to others is still there."""
    with closing(create_store(data_dir)) as store:
        ids = fill(store)
        assert files_with(data_dir, b"answer to 001@x.example")
        store.remove(ids[1::2], Reason.REQUEST)
        store.erase()
        everything = b"".join(path.read_bytes() for path in data_dir.rglob("*") if path.is_file())
        for number in range(1, 60, 2):
            assert f"{number:03}@x.example".encode() not in everything
        for number in range(0, 60, 2):
            for tries in range(FORGOTTEN, TRIES):
                assert word(f"{number:03}@x.example", tries) in everything
        for each in store.deliveries.find(DeliveryQuery(limit=100)).deliveries:
            assert len(store.deliveries.get(each.number)[1]) == TRIES - FORGOTTEN


def test_the_recipient_of_a_replay_is_erased_when_it_is_done(data_dir: Path) -> None:
    """With the next thing that is erased, though the message itself has gone before."""
    with closing(create_store(data_dir)) as store:
        receipt = add_for(store, recipient="eve@planted.example")
        number = store.deliveries.add_replay(Replay("app", recipient="eve@planted.example"))
        store.deliveries.advance_replay(number, 64, at(0))
        store.remove([receipt.message_id], Reason.REQUEST)
        store.erase()
        assert files_with(data_dir, b"eve@planted.example") == ["gomail.db"]
        assert store.deliveries.advance_replay(number, 64, at(0)) == 0
        store.erase()
        assert files_with(data_dir, b"eve@planted.example") == []
