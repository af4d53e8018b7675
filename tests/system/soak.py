"""`make soak [SECONDS=900]`: load for a long while, and nothing may grow that shouldn't.

Prints a table of what was measured beside its bound, and ends with 1 on any breach.
"""

import argparse
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from support.server import Server, wait_for
from support.soak_load import BLOCKED_DOMAIN, CLIENTS, SoakLoad
from support.soak_verdict import THREADS, Sample, Verdict, largest_log, sample

SAMPLE_SECONDS = 1
RELOADS = (0.05, 0.15, 0.95)  # parts of the time; between the last two the workers stay the same
WATCHED = (0.3, 0.94)


def soak(server: Server, seconds: float) -> tuple[list[Sample], SoakLoad]:
    """Return the samples taken meanwhile, and the load."""
    begun, reloads = time.monotonic(), list(RELOADS)
    samples: list[Sample] = []
    with SoakLoad(server) as load:
        while (passed := (time.monotonic() - begun) / seconds) < 1:
            time.sleep(SAMPLE_SECONDS)
            if WATCHED[0] <= passed <= WATCHED[1]:
                samples.append(sample(server))
            if reloads and passed >= reloads[0]:
                reloads.pop(0)
                reload(server)
    return samples, load


def reload(server: Server) -> None:
    """Send SIGHUP and wait until other workers serve."""
    before = set(server.worker_pids())
    os.kill(server.pid, signal.SIGHUP)
    wait_for(lambda: before.isdisjoint(server.worker_pids()), 60)


def main() -> int:
    """Run the soak and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=900)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory(prefix="gomail-soak-") as directory:
        server = Server(Path(directory), workers=2, threads=THREADS, blocked_domains=BLOCKED_DOMAIN)
        server.start()
        try:
            samples, load = soak(server, seconds)
            verdict = Verdict()
            verdict.flat(samples)
            verdict.log(max(largest_log(server), *(each.log_bytes for each in samples)))
            verdict.counts(server, load)
            print(
                f"{seconds} s, {CLIENTS} clients, {len(RELOADS)} reloads, {load.total():,} requests"
            )
        finally:
            if server.is_running():
                server.stop()
            server.kill()
        verdict.said(server)
    print(verdict.table())
    return 1 if verdict.breaches else 0


if __name__ == "__main__":
    sys.exit(main())
