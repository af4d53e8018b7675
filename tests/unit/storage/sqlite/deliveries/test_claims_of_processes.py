"""Several processes share one queue of deliveries."""

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.deliveries import add_for, claim, delivered, states
from support.together import outputs_of_all

from app.storage.delivery import Claim, State
from app.storage.sqlite.creation import create_store
from app.storage.sqlite.store import SQLiteStore

CLAIM_AND_FINISH = """
import json, sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from app.storage.delivery import Result, State
from app.storage.sqlite.store import SQLiteStore

store = SQLiteStore(Path(sys.argv[1]))
# at once
queue, numbers = store.deliveries, []
now = datetime.now(UTC)
in_order = sys.argv[2] == "in order"
while queue.next_due(["app"]):
    claims = queue.claim(
        "app", 7, now, now + timedelta(seconds=60), replays=False, in_order=in_order
    )
    numbers += [each.delivery.number for each in claims]
    results = [Result(each, State.DELIVERED, None, True, None, None) for each in claims]
    assert queue.finish(results) == len(claims)
store.close()
print(json.dumps(numbers))
"""


@pytest.mark.parametrize("order", ["in order", "by time"])
def test_each_delivery_is_claimed_by_one(data_dir: Path, order: str) -> None:
    """Four processes at once, until there is nothing left."""
    with closing(create_store(data_dir)) as store:
        for _ in range(200):
            add_for(store, "app")
    outputs = outputs_of_all(CLAIM_AND_FINISH, [[str(data_dir), order]] * 4)
    found = [number for output in outputs for number in json.loads(output)]
    assert len(found) == len(set(found)) == 200
    with closing(SQLiteStore(data_dir)) as store:
        assert states(store) == [State.DELIVERED] * 200


def test_a_claim_that_gets_nothing_waits_for_nobody(data_dir: Path) -> None:
    """While another process writes it returns at once, in order, too."""
    with closing(create_store(data_dir)) as store:
        add_for(store, "app", seconds=50)
        add_for(store, "log")
        first: list[Claim] = claim(store.deliveries, "log", in_order=True)
        with closing(sqlite3.connect(data_dir / "gomail.db")) as other:
            other.execute("BEGIN IMMEDIATE")
            began = datetime.now(UTC)
            assert claim(store.deliveries) == []
            assert claim(store.deliveries, "log", 1, in_order=True) == []
            assert datetime.now(UTC) - began < timedelta(seconds=5)
        assert store.deliveries.finish([delivered(first[0])]) == 1
