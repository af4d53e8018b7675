"""How fast mail is taken into PostgreSQL and an object store, beside SQLite.

`python benchmarks/bench_databases.py`. All run on the same machine, with the load, and take turns;
the figures are medians. The servers are those of the tests, on loopback, with syncs on.
"""

import argparse
import shutil
import statistics
import sys
from contextlib import ExitStack
from dataclasses import replace

from bench_delivery import rotated, run
from subject import Subject, subjects
from support.postgresql_server import PostgreSQLServer
from support.seaweedfs_server import ACCESS_KEY_ID, SECRET_ACCESS_KEY, SeaweedFSServer

SIZES = {"4 KiB": 4 * 1024, "64 KiB": 64 * 1024, "1 MiB": 1024 * 1024}
API_TOKEN = "the-other-token-of-this-benchmark"


def main() -> None:
    """Print the rate of each at each size, and what it is of SQLite's."""
    options = arguments()
    wrk = shutil.which("wrk") or sys.exit("wrk isn't installed")
    with ExitStack() as stack:
        postgresql = stack.enter_context(PostgreSQLServer())
        seaweedfs = stack.enter_context(SeaweedFSServer())
        running = [stack.enter_context(each) for each in databases(postgresql, seaweedfs)]
        print(f"{'messages/s':10}" + "".join(f"{each.name:>28}" for each in running))
        for size in SIZES:
            print(f"{size:10}" + measured(wrk, running, size, options), flush=True)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    return parser.parse_args()


def databases(postgresql: PostgreSQLServer, seaweedfs: SeaweedFSServer) -> list[Subject]:
    """Return one server for each store, not started."""
    _, _, gomail = subjects()
    objects = seaweedfs.settings()
    with_objects = {
        "MAIL_OBJECT_STORE_URL": objects.url,
        "MAIL_OBJECT_STORE_ENDPOINT": str(objects.endpoint),
        "MAIL_OBJECT_STORE_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "MAIL_OBJECT_STORE_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "MAIL_OBJECT_STORE_FROM_BYTES": "65536",
    }
    return [
        replace(gomail, name="SQLite"),
        database(gomail, "PostgreSQL", postgresql.new_database(), {}),
        database(gomail, "PostgreSQL + S3", postgresql.new_database(), with_objects),
    ]


def database(gomail: Subject, name: str, url: str, others: dict[str, str]) -> Subject:
    settings = {"MAIL_DATABASE_URL": url, "MAIL_API_TOKEN": API_TOKEN, **others}
    return replace(gomail, name=name, environment=gomail.environment | settings)


def measured(wrk: str, running: list[Subject], size: str, options: argparse.Namespace) -> str:
    """Return the rates of all, each with its part of the first one's."""
    rates: dict[str, list[float]] = {each.name: [] for each in running}
    for subject in running:
        run(wrk, subject, SIZES[size], options.connections, 1)
    for number in range(options.rounds):
        for subject in rotated(running, number):
            figures = run(wrk, subject, SIZES[size], options.connections, options.seconds)
            if figures.bad:
                raise SystemExit(f"{figures.bad:.0f} messages weren't taken by {subject.name}")
            rates[subject.name].append(figures.rate)
    medians = [statistics.median(rates[each.name]) for each in running]
    return "".join(f"{f'{each:.0f} ({each / medians[0]:.2f})':>28}" for each in medians)


if __name__ == "__main__":
    main()
