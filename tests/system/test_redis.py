"""Two hosts with one rate limit server, which goes away and comes back."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from support.flood import DENIED, flood
from support.redis_server import RedisServer
from support.server import Server, wait_for
from support.traffic import traffic

BURST = 10
HOSTS = 2
ATTEMPTS = 10
# A token a minute: whatever passes beyond the burst within a test would be a fault.
LIMIT = {"rate_limit_per_minute": 1, "rate_limit_burst": BURST, "workers": 2}


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[RedisServer]:
    directory = tmp_path / "redis"
    directory.mkdir()
    with RedisServer(directory) as server:
        yield server


@pytest.fixture
def hosts(redis_server: RedisServer, tmp_path: Path) -> Iterator[list[Server]]:
    """Return two running servers that share nothing but Redis."""
    with ExitStack() as stack:
        servers = []
        for number in range(HOSTS):
            directory = tmp_path / f"host{number}"
            directory.mkdir()
            server = Server(directory, **LIMIT, rate_limit_url=redis_server.url)
            servers.append(stack.enter_context(server).start())
        yield servers


def flood_all(hosts: Sequence[Server], client: str, count: int) -> list[Counter[int]]:
    """Send `count` messages of `client` to each host at the same time; return the statuses."""
    requests = [{"X-Real-IP": client}] * count
    with ThreadPoolExecutor(HOSTS) as pool:
        floods = list(pool.map(lambda host: flood(host, requests), hosts))
    return [Counter(result.statuses) for result in floods]


def flood_together(hosts: Sequence[Server], network: str) -> Counter[int]:
    """Flood all hosts while Redis is there; return the statuses of all together.

    On a machine that is too busy, Redis may need longer than the hosts wait for it, which is an
    outage like any other: then the flood is repeated with another client of `network`.
    """
    for number in range(ATTEMPTS):
        wait_for(lambda: all(is_over(host) for host in hosts))
        threading.Event().wait(1.5)  # the pause of the workers that noticed last
        before = [len(told(host)) for host in hosts]
        statuses = sum(flood_all(hosts, f"{network}.{number}", 40), Counter())
        if before == [len(told(host)) for host in hosts]:
            return statuses
    raise AssertionError(f"Redis didn't answer in time in any of {ATTEMPTS} floods")


def told(server: Server) -> list[dict[str, Any]]:
    """Return the lines of the log that are about the rate limit server."""
    return [json.loads(line) for line in server.output() if "rate limit server" in line]


def refused(server: Server) -> int:
    """Return how many outages began with a connection that was refused or cut."""
    return sum(line.get("reason") == "ConnectionError" for line in told(server))


def has_refused(server: Server, times: int) -> bool:
    """Tell whether there were so many such outages."""
    return refused(server) == times


def is_over(server: Server) -> bool:
    """Tell whether each outage has one warning and one all-clear, in turn."""
    levels = [line["level"] for line in told(server)]
    return levels == ["WARNING", "INFO"] * (len(levels) // 2)


def buckets(redis_server: RedisServer) -> int:
    """Return how many buckets Redis holds."""
    with redis_server.client() as client:
        return len(client.keys("gomail:bucket:*"))


def posts_for_many(host: Server) -> Callable[[], int]:
    """Return a function that sends a request for another client each time."""
    numbers = count(1)

    def send() -> int:
        number = next(numbers)
        headers = {"X-Real-IP": f"172.{host.port % 250}.{number // 250}.{number % 250}"}
        return host.request("POST", "/mail/inbound", headers=headers).status

    return send


@pytest.mark.promise("a rate limit is exact over several hosts")
def test_two_hosts_give_ten_between_them(
    hosts: Sequence[Server], redis_server: RedisServer
) -> None:
    """40 requests at each of two hosts at once: together exactly ten pass, for each client."""
    for network in ("192.0.2", "198.51.100"):
        assert flood_together(hosts, network) == {200: BURST, DENIED: 80 - BURST}
    assert buckets(redis_server) >= 2


@pytest.mark.promise("an outage of Redis costs no mail")
def test_an_outage_costs_no_mail_and_opens_nothing(
    hosts: Sequence[Server], redis_server: RedisServer
) -> None:
    """Redis killed and started again, twice, amid traffic: no 5xx, and always a limit.

    While it is away each host gives a client ten; when it is back, both together give ten. Each
    host's log has one warning and one all-clear for each outage.
    """
    with traffic(list(map(posts_for_many, hosts)), pause_seconds=0.01) as statuses:
        for outage in (1, 2):
            redis_server.kill()
            for host in hosts:
                wait_for(partial(has_refused, host, outage))
            away = flood_all(hosts, f"203.0.113.{outage}", 40)
            assert away == [{200: BURST, DENIED: 30}] * HOSTS

            redis_server.start()
            for host in hosts:
                wait_for(partial(is_over, host), 5)
            back = flood_together(hosts, f"198.51.{outage}")
            assert back == {200: BURST, DENIED: 80 - BURST}
            assert buckets(redis_server) > 0
    print(Counter(statuses))
    assert 401 in statuses
    assert set(statuses) <= {401, DENIED}
    assert [refused(host) for host in hosts] == [2, 2]


def test_a_start_without_redis_serves(redis_server: RedisServer, tmp_path: Path) -> None:
    """A host that starts during an outage limits by itself, and joins when Redis is there."""
    redis_server.kill()
    with Server(tmp_path, **LIMIT, rate_limit_url=redis_server.url).start() as host:
        assert flood(host, [{"X-Real-IP": "192.0.2.1"}] * 20).passed == BURST
        redis_server.start()

        def has_joined() -> int:
            host.request("POST", "/mail/inbound", headers={"X-Real-IP": "192.0.2.2"})
            return buckets(redis_server)

        wait_for(has_joined)
