"""What the rate limit costs a request: `python benchmarks/bench_rate_limit.py`.

Each figure is the median of several rounds in one thread, for clients that come in turn.
"""

import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from ipaddress import ip_network
from itertools import cycle, islice

from redis import Redis, RedisError

from app.ratelimit.client import Claims, client_of
from app.ratelimit.redis import RedisLimiter
from app.ratelimit.shared_memory import SharedLimiter
from app.ratelimit.token_bucket import Limiter, token_bucket
from app.state.bucket_table import BucketTable
from app.state.outage import Outage

ROUNDS = 15
SHARED_HITS = 50_000
REDIS_HITS = 3_000
START_SECONDS = 10
BUCKET = token_bucket(60, 10)
TRUSTED = tuple(map(ip_network, ("127.0.0.0/8", "::1/128")))


def main() -> None:
    """Print one line for each way to count."""
    for clients in (1, 1_000, 50_000):
        report(f"SharedLimiter, {clients} clients", shared(), clients, SHARED_HITS)
    report_client_of()
    program = shutil.which("redis-server")
    if program is None:
        print("RedisLimiter: redis-server isn't installed")
        return
    with redis_server(program) as url:
        outage = Outage()
        report("RedisLimiter, 1000 clients", redis(url, outage), 1_000, REDIS_HITS)
        if outage.count:
            raise SystemExit("Redis didn't always answer in time: its figure is worthless.")


def shared() -> Limiter:
    return SharedLimiter(BucketTable(), BUCKET)


def redis(url: str, outage: Outage) -> Limiter:
    return RedisLimiter(url, BUCKET, shared(), outage)


def report(title: str, limiter: Limiter, clients: int, hits: int) -> None:
    """Print the microseconds that a hit costs."""
    names = list(islice(cycle([f"192.0.2.{number}" for number in range(clients)]), hits))
    take = limiter.take
    rounds = []
    for _ in range(ROUNDS):
        started_at = time.perf_counter()
        for name in names:
            take(name)
        rounds.append((time.perf_counter() - started_at) / hits * 1_000_000)
    print_figures(title, rounds)


def report_client_of() -> None:
    """Print the microseconds that it costs to find out who the client of a proxy is."""
    claims = Claims(forwarded_for="192.0.2.1")
    rounds = []
    for _ in range(ROUNDS):
        started_at = time.perf_counter()
        for _ in range(SHARED_HITS):
            client_of("127.0.0.1", claims, TRUSTED)
        rounds.append((time.perf_counter() - started_at) / SHARED_HITS * 1_000_000)
    print_figures("client_of, behind a proxy", rounds)


def print_figures(title: str, rounds: list[float]) -> None:
    """Print the median of `rounds` and how far they are apart, in microseconds."""
    median = statistics.median(rounds)
    print(f"{title:32}{median:8.2f} us a hit  ({min(rounds):.2f} to {max(rounds):.2f})")


@contextmanager
def redis_server(program: str) -> Iterator[str]:
    """Run a server that keeps nothing, on a free port of loopback; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", ""]
    with tempfile.TemporaryDirectory() as directory:
        process = subprocess.Popen(
            [program, *options, "--dir", directory], stdout=subprocess.DEVNULL
        )
        try:
            url = f"redis://127.0.0.1:{port}/0"
            wait_until_it_answers(url)
            yield url
        finally:
            process.kill()
            process.wait()


def wait_until_it_answers(url: str) -> None:
    """Return when the server at `url` is there; raises RedisError when it doesn't come."""
    deadline = time.monotonic() + START_SECONDS
    with closing(Redis.from_url(url)) as client:
        while True:
            try:
                client.ping()
            except RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


if __name__ == "__main__":
    main()
