"""The object store is used by forked processes, and with little memory."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

from support.seaweedfs_server import SeaweedFSServer

TESTS = Path(__file__).parents[3]
MIB = 1024 * 1024

BEGIN = """
import json, os, sys, threading
from app.settings import ObjectStore
from app.storage.objects.store import Objects
from app.errors import StorageUnavailable
objects = Objects(ObjectStore(**json.loads(sys.argv[1])), 20)
"""
USED_IN_CHILDREN = """
from datetime import datetime
statuses = []
for _ in range(2):
    child = os.fork()
    if child == 0:
        name = objects.names.new("0" * 36, datetime.now())
        objects.put(name, [b"mail"])
        os._exit(0 if b"".join(objects.read(name, 4)) == b"mail" else 1)
    statuses.append(os.waitpid(child, 0)[1])
print(json.dumps(statuses))
"""
USED_BEFORE = """
objects.check()
child = os.fork()
if child == 0:
    try:
        objects.now()
    except StorageUnavailable as error:
        print(json.dumps(str(error.__cause__)), flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
MEMORY = """
from datetime import datetime

def highest():
    status = open("/proc/self/status").read()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024

def chunk():
    return bytes(64 * 1024)

def once(size):
    name = objects.names.new("0" * 36, datetime.now())
    objects.put(name, (chunk() for _ in range(size // len(chunk()))))
    assert sum(map(len, objects.read(name, size))) == size

def at_once(count, size):
    threads = [threading.Thread(target=once, args=(size,)) for _ in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

at_once(8, 1024 * 1024)
rest = highest()
once(25 * 1024 * 1024)
one = highest()
at_once(8, 25 * 1024 * 1024)
print(json.dumps([one - rest, highest() - rest]))
"""


def run(server: SeaweedFSServer, prefix: str, code: str) -> str:
    """Return what `code` prints in a process of its own."""
    settings = json.dumps(asdict(server.settings(prefix)))
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, settings],
        env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        stdout=subprocess.PIPE,
        check=True,
        timeout=60,
    )
    return done.stdout.decode()


def test_children_use_what_was_made_before_the_fork(
    seaweedfs: SeaweedFSServer, prefix: str
) -> None:
    """The master makes the parts, and each worker opens connections of its own."""
    assert json.loads(run(seaweedfs, prefix, USED_IN_CHILDREN)) == [0, 0]


def test_use_before_the_fork_is_refused_at_once(seaweedfs: SeaweedFSServer, prefix: str) -> None:
    """The library would hang in the child: its threads aren't there."""
    told = json.loads(run(seaweedfs, prefix, USED_BEFORE))
    assert told.endswith("it was used in a process before that was forked")


def test_large_messages_take_little_memory(seaweedfs: SeaweedFSServer, prefix: str) -> None:
    """One of 25 MiB takes about a part, and eight at once, written and read, about eight."""
    one, eight = json.loads(run(seaweedfs, prefix, MEMORY))
    print(f"25 MiB: {one / MIB:.1f} MiB, eight at once: {eight / MIB:.1f} MiB")
    assert one < 16 * MIB
    assert eight < 64 * MIB
