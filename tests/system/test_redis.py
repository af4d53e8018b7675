"""Two hosts with one rate limit server, which goes away and comes back."""

import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import pytest
from flood import DENIED, flood
from redis_server import RedisServer
from server import Server, wait_for

BURST = 10
HOSTS = 2
# A token a minute: whatever passes beyond the burst within a test would be a fault.
LIMIT = {"rate_limit_per_minute": 1, "rate_limit_burst": BURST, "workers": 2}


@pytest.fixture
def redis_server(tmp_path):
    directory = tmp_path / "redis"
    directory.mkdir()
    with RedisServer(directory) as server:
        yield server


@pytest.fixture
def hosts(redis_server, tmp_path):
    """Return two running servers that share nothing but Redis."""
    with ExitStack() as stack:
        servers = []
        for number in range(HOSTS):
            directory = tmp_path / f"host{number}"
            directory.mkdir()
            server = Server(directory, **LIMIT, rate_limit_url=redis_server.url)
            servers.append(stack.enter_context(server).start())
        yield servers


def flood_all(hosts, client, count):
    """Send `count` messages of `client` to each host at the same time; return the statuses."""
    requests = [{"X-Real-IP": client}] * count
    with ThreadPoolExecutor(HOSTS) as pool:
        floods = list(pool.map(lambda host: flood(host, requests), hosts))
    return [Counter(result.statuses) for result in floods]


def messages(server, level):
    """Return what the rate limit has logged at `level`."""
    told = [json.loads(line) for line in server.output() if "rate limit server" in line]
    return [line["message"] for line in told if line["level"] == level]


def buckets(redis_server):
    """Return how many buckets Redis holds."""
    with redis_server.client() as client:
        return len(client.keys("gomail:bucket:*"))


@contextmanager
def steady_traffic(hosts):
    """Send requests to all hosts, each for a client of its own; yields the statuses so far."""
    statuses, done = [], threading.Event()

    def keep_sending(host):
        number = 0
        while not done.wait(0.01):
            number += 1
            headers = {"X-Real-IP": f"203.0.{number // 250}.{number % 250}"}
            statuses.append(host.request("POST", "/mail/inbound", headers=headers).status)

    senders = [threading.Thread(target=keep_sending, args=(host,)) for host in hosts]
    for sender in senders:
        sender.start()
    try:
        yield statuses
    finally:
        done.set()
        for sender in senders:
            sender.join()


def test_two_hosts_give_ten_between_them(hosts, redis_server):
    """40 requests at each of two hosts at once: together exactly ten pass, for each client."""
    for client in ("192.0.2.1", "192.0.2.2"):
        seen = sum(flood_all(hosts, client, 40), Counter())
        assert seen == {200: BURST, DENIED: 80 - BURST}
    assert buckets(redis_server) == 2
    assert not any(messages(host, "WARNING") for host in hosts)


def test_an_outage_costs_no_mail_and_opens_nothing(hosts, redis_server):
    """Redis killed and started again, twice, amid traffic: no 5xx, and always a limit.

    While it is away each host gives a client ten; when it is back, both together give ten. Each
    host's log has one warning and one all-clear for each outage.
    """
    with steady_traffic(hosts) as statuses:
        for outage in (1, 2):
            redis_server.kill()
            for host in hosts:
                wait_for(lambda host=host, times=outage: len(messages(host, "WARNING")) == times)
            away = flood_all(hosts, f"192.0.2.{outage}", 40)
            assert away == [{200: BURST, DENIED: 30}] * HOSTS

            redis_server.start()
            for host in hosts:
                wait_for(lambda host=host, times=outage: len(messages(host, "INFO")) == times)
            threading.Event().wait(1.5)  # the pause of the workers that noticed last
            back = sum(flood_all(hosts, f"198.51.100.{outage}", 40), Counter())
            assert back == {200: BURST, DENIED: 80 - BURST}
            assert buckets(redis_server) > 0
    print(Counter(statuses))
    assert set(statuses) <= {401, DENIED}
    for host in hosts:
        assert [len(messages(host, level)) for level in ("WARNING", "INFO")] == [2, 2]


def test_a_start_without_redis_serves(redis_server, tmp_path):
    """A host that starts during an outage limits by itself, and joins when Redis is there."""
    redis_server.kill()
    with Server(tmp_path, **LIMIT, rate_limit_url=redis_server.url).start() as host:
        assert flood(host, [{"X-Real-IP": "192.0.2.1"}] * 20).passed == BURST
        redis_server.start()

        def has_joined():
            host.request("POST", "/mail/inbound", headers={"X-Real-IP": "192.0.2.2"})
            return buckets(redis_server)

        wait_for(has_joined, 5)
