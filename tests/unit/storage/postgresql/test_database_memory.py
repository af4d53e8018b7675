"""Large messages take little memory on their way in and out."""

import json
import os
import subprocess
import sys

from support.server import CHECKOUT

from app.settings import Storage

MIB = 1024 * 1024
# A message that is read is in memory as a whole: so eight are stored at once, but read in turn.
CODE = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from app.settings import Storage
from app.storage.ids import new_message_id
from app.storage.message import Envelope, Message
from app.storage.postgresql.store import PostgreSQLStore
from support.store import AT, add

MIB = 1024 * 1024

def peak():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

def receive(number):
    body = store.new_body()
    for _ in range(400):
        body.write(bytes([number]) * 65536)
    envelope = Envelope("a@b", "c@d")
    return store.add(Message(new_message_id(AT), AT, envelope, "", str(number)), body).message_id

store = PostgreSQLStore(Storage(Path(sys.argv[2]), sys.argv[1], pool_size=8))
add(store, b"x" * 2 * MIB, "warm-up")
at_rest = peak()
with ThreadPoolExecutor(8) as pool:
    ids = list(pool.map(receive, range(8)))
added = peak() - at_rest
right = all(store.read(each) == bytes([n]) * 25 * MIB for n, each in enumerate(ids))
print(json.dumps([added, peak() - at_rest, right]))
"""


def test_eight_messages_of_25_mib_take_less_than_64_mib(settings: Storage) -> None:
    """All eight at once, in a process of their own; reading one takes little more than itself."""
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(settings.database_url), str(settings.data_dir)],
        env=os.environ | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'tests'}"},
        stdout=subprocess.PIPE,
        check=True,
    )
    added, read, is_right = json.loads(done.stdout)
    print(f"{added / MIB:.1f} MiB to store, {read / MIB:.1f} MiB to read")
    assert is_right
    assert added < 64 * MIB
    assert read < 64 * MIB + 2 * 25 * MIB  # the result, and what it is compared with
