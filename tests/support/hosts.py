"""Hosts that share a database: servers with a data directory and ports of their own."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from support.endpoints import SECRET
from support.plain_mail import plain_mail
from support.server import FLASK, Answer, NewServer, Server

TOKEN = "token-" + "t" * 40
API_TOKEN = "api-" + "a" * 40
AUTHORIZATION = {"Authorization": f"Bearer {API_TOKEN}"}
DELIVER = (FLASK, "gomail", "deliver")
"""The command of a host that only delivers."""
PAGE = 200


def make_hosts(
    new_server: NewServer, database_url: str, count: int = 2, **settings: object
) -> list[Server]:
    """Return so many hosts, none of which was started yet."""
    shared: dict[str, object] = {
        "database_url": database_url,
        "bearer_token": TOKEN,
        "api_token": API_TOKEN,
        "log_level": "warning",
    }
    if "webhook_url" in settings:
        shared["webhook_secret"] = SECRET
    return [new_server(**shared | settings) for _ in range(count)]


def start_hosts(
    new_server: NewServer, database_url: str, count: int = 2, **settings: object
) -> list[Server]:
    """Start so many hosts at the same moment, and return them when all are ready."""
    hosts = make_hosts(new_server, database_url, count, **settings)
    start_together(hosts)
    return hosts


def start_together(hosts: Sequence[Server]) -> None:
    """Start hosts at the same moment, and return when all are ready."""
    with ThreadPoolExecutor(len(hosts)) as pool:
        list(pool.map(Server.start, hosts))


def get(host: Server, path: str) -> Any:
    """Return the JSON that a route for readers answers."""
    answer = host.request("GET", path, headers=AUTHORIZATION)
    assert answer.status == 200, answer.body
    return answer.json()


def listed(host: Server) -> list[dict[str, Any]]:
    """Return all messages, as GET /messages lists them page by page."""
    found: list[dict[str, Any]] = []
    position = ""
    while True:
        page = get(host, f"/messages?limit={PAGE}{position}")
        found += page["messages"]
        if not page["has_more"]:
            return found
        position = f"&before={page['next']}"


def queue_ids(host: Server) -> list[str]:
    """Return the queue id of each stored message."""
    return sorted(each["envelope"]["queue_id"] for each in listed(host))


def deliver(host: Server, key: str) -> Answer:
    """Send a small message of its own for each key, which becomes its queue id."""
    return host.deliver(plain_mail(key, key.encode()), X_Original_Queue_Id=key)


def deliver_all(hosts: Sequence[Server], keys: Sequence[str]) -> list[Answer]:
    """Send a message for each key at the same moment, to one host after the other."""
    chosen = [hosts[number % len(hosts)] for number in range(len(keys))]
    with ThreadPoolExecutor(len(keys)) as pool:
        return list(pool.map(deliver, chosen, keys))


def accept_all(hosts: Sequence[Server], key: str) -> bool:
    """Tell whether each of the hosts accepts a message."""
    return {deliver(host, key).status for host in hosts} == {200}


def check_refused(answers: Sequence[Answer]) -> None:
    """Check that each message was refused for now, and will be sent again."""
    assert [answer.status for answer in answers] == [503] * len(answers)
    assert {answer.json()["code"] for answer in answers} == {"storage_unavailable"}
    assert all(int(answer.headers["Retry-After"]) > 0 for answer in answers)
