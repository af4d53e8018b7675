import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from support.configured import Configured, settings_writer
from support.linux_process import proportional_bytes
from support.load import Load, stored_queue_ids
from support.server import CHECKOUT, GUNICORN, Answer, NewServer, Server, wait_for
from support.upload import MESSAGE, metrics

OLD, NEW = "old-" + "o" * 40, "new-" + "n" * 40
OTHER = "other-" + "t" * 40
RELOADS = 20
WARM_UP_REQUESTS = 400
RECYCLED_WORKERS = 30
REQUESTS_OF_A_WORKER = 10

pytestmark = pytest.mark.thorough


@pytest.fixture
def configured(new_server: NewServer, tmp_path: Path) -> Configured:
    """Return a running server, and a function that rewrites its configuration file."""
    file = tmp_path / "gomail.yaml"

    write = settings_writer(file, OLD)
    write(rate_limit_per_minute=0)
    # What is in the environment would outrank the file.
    return new_server(config=file, rate_limit_per_minute=None).start(), write


def reload(server: Server) -> None:
    """Send SIGHUP and wait until all workers are new ones."""
    old = set(server.worker_pids())
    os.kill(server.pid, signal.SIGHUP)
    wait_for(
        lambda: old.isdisjoint(server.settled_workers()) and len(server.settled_workers()) == 2
    )


def refused_reload(server: Server, count: int) -> list[str]:
    """Send SIGHUP; return the `count` lines that refuse it, once it has replaced no worker."""
    lines, workers = len(server.log()), set(server.worker_pids())
    os.kill(server.pid, signal.SIGHUP)
    refusals = wait_for(lambda: errors_since(server, lines))
    os.kill(server.pid, signal.SIGWINCH)  # does nothing, and is handled after the SIGHUP
    wait_for(lambda: "Handling signal: winch" in [line["message"] for line in server.log()[lines:]])
    assert set(server.worker_pids()) == workers
    assert errors_since(server, lines) == refusals
    assert len(refusals) == count
    beginning = "The new configuration is refused, the old one stays in force: "
    assert all(refusal.startswith(beginning) for refusal in refusals)
    assert not [line for line in server.log()[lines:] if "reloaded" in line["message"]]
    return sorted(refusal.removeprefix(beginning) for refusal in refusals)


def errors_since(server: Server, lines: int) -> list[str]:
    """Return the errors in the log after its first `lines`."""
    return [line["message"] for line in server.log()[lines:] if line["level"] == "ERROR"]


def deliver(server: Server, token: str, **fields: str) -> Answer:
    """Post MESSAGE with `token`."""
    given = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"} | fields
    return server.request("POST", "/mail/inbound", MESSAGE, given)


@pytest.mark.promise("tokens and limits are replaced without downtime")
def test_a_token_is_replaced_without_a_restart(configured: Configured) -> None:
    """After SIGHUP the new token is valid and the old one isn't; both are in between."""
    server, write = configured
    assert [deliver(server, token).status for token in (OLD, NEW)] == [200, 401]
    write(bearer_token=[OLD, NEW], rate_limit_per_minute=0)
    reload(server)
    assert [deliver(server, token).status for token in (OLD, NEW)] == [200, 200]
    write(bearer_token=[NEW], rate_limit_per_minute=0)
    reload(server)
    assert [deliver(server, token).status for token in (OLD, NEW)] == [401, 200]


@pytest.mark.promise("tokens and limits are replaced without downtime")
def test_an_api_token_is_replaced_without_a_restart(configured: Configured) -> None:
    """As for a bearer_token: delivery is `forbidden` with a valid one, else `unauthorized`."""
    server, write = configured
    for tokens, codes in (
        ([OLD], ["forbidden", "unauthorized"]),
        ([OLD, NEW], ["forbidden", "forbidden"]),
        ([NEW], ["unauthorized", "forbidden"]),
    ):
        write(bearer_token=[OTHER], api_token=tokens, rate_limit_per_minute=0)
        reload(server)
        assert [deliver(server, token).json()["code"] for token in (OLD, NEW)] == codes
        assert deliver(server, OTHER).status == 200


@pytest.mark.promise("tokens and limits are replaced without downtime")
def test_a_limit_and_the_log_level_are_replaced_without_a_restart(configured: Configured) -> None:
    """After SIGHUP the new limit holds in every worker, and info lines are logged no more."""
    server, write = configured
    assert "X-RateLimit-Limit" not in deliver(server, OLD).headers
    write(rate_limit_per_minute=60, rate_limit_burst=3, log_level="warning")
    reload(server)
    lines = len(server.log())
    answers = [deliver(server, OLD) for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[0].headers["X-RateLimit-Limit"] == "60"
    assert {line["level"] for line in server.log()[lines:]} <= {"WARNING", "ERROR"}


def unrouted(server: Server) -> float:
    """Return how many messages matched no endpoint."""
    return server.scrape().value("messages_without_endpoint_total")


def test_endpoints_are_taken_in_and_out_without_a_restart(
    configured: Configured, tmp_path: Path
) -> None:
    """After SIGHUP new mail takes the new routes; each endpoint has a secret that is kept."""
    server, write = configured
    to_bob = {"X-Original-Recipient": "bob@example.com"}
    ann = {"name": "ann", "url": "http://127.0.0.1:9/", "recipients": ["ann@example.com"]}
    bob = {"name": "bob", "url": "http://127.0.0.1:9/", "recipients": ["bob@example.com"]}
    secrets = server.data_dir / "endpoints"
    counts: list[float] = []
    kept: set[str] = set()
    for endpoints in ([], [ann], [ann, bob], [ann], []):
        lines = len(server.log())
        write(endpoints=endpoints, rate_limit_per_minute=0)
        reload(server)
        key = {"Idempotency-Key": str(len(counts))}
        assert deliver(server, OLD, **to_bob, **key).status == 200
        counts.append(unrouted(server))
        names = [endpoint["name"] for endpoint in endpoints]
        line = f"Secrets in {secrets} sign what is sent to: {', '.join(map(str, names))}"
        assert (line in messages_since(server, lines)) == bool(endpoints)
        if "bob" in names or kept:
            kept.add((secrets / "bob.secret").read_text())
    assert counts == [0, 1, 1, 2, 2]
    assert len(kept) == 1
    assert kept.pop() not in server.output_file.read_text()


def test_an_endpoint_that_is_wrong_is_refused(configured: Configured, tmp_path: Path) -> None:
    """As any other fault of a configuration; so is a secret that can't be made."""
    server, write = configured
    given = {"name": "a", "url": "http://127.0.0.1:9/", "timeout": 1}
    write(endpoints=[given, given], rate_limit_per_minute=0)
    refusals = refused_reload(server, 3)
    assert [refusal.split(":")[0] for refusal in refusals] == [
        *("endpoints[0].timeout", "endpoints[1].name", "endpoints[1].timeout"),
    ]
    (server.data_dir / "endpoints").write_text("in the way")
    write(endpoints=[given | {"timeout": 5}], rate_limit_per_minute=0)
    [refusal] = refused_reload(server, 1)
    assert refusal == (
        "endpoints: The generated secret of the endpoint a can't be read or written."
    )
    assert deliver(server, OLD).status == 200


@pytest.mark.promise("an invalid configuration is never put in force")
def test_an_invalid_configuration_is_refused(configured: Configured) -> None:
    """SIGHUP logs each of its faults, replaces no worker, and the old settings stay."""
    server, write = configured
    write(bearer_token=[NEW], threads="many", colour="blue")
    refusals = refused_reload(server, 2)
    assert [refusal.split(":")[0] for refusal in refusals] == ["colour", "threads"]
    assert [deliver(server, token).status for token in (OLD, NEW)] == [200, 401]
    write(bearer_token=[NEW], rate_limit_per_minute=0)
    reload(server)
    assert [deliver(server, token).status for token in (OLD, NEW)] == [401, 200]


def test_what_needs_a_restart_is_refused(configured: Configured) -> None:
    """SIGHUP doesn't move the port, says so for each such key, and changes nothing else either."""
    server, write = configured
    write(bearer_token=[NEW], mode="socket", host="127.0.0.2")
    refusals = refused_reload(server, 2)
    for refusal, key in zip(refusals, ("host", "mode"), strict=True):
        assert refusal.startswith(f"{key}: can only be changed by a restart")
    assert [deliver(server, token).status for token in (OLD, NEW)] == [200, 401]


def test_another_database_needs_a_restart(configured: Configured) -> None:
    """Nothing would prepare it. The refusal quotes no URL, since there may be a password in it."""
    server, write = configured
    database = {"database_url": "postgresql://a:Pl4nted@127.0.0.1:9/a", "api_token": [OTHER]}
    write(bearer_token=[NEW], rate_limit_per_minute=0, **database)
    [refusal] = refused_reload(server, 1)
    assert refusal == "database_url: can only be changed by a restart, not by a reload"
    assert [deliver(server, token).status for token in (OLD, NEW)] == [200, 401]
    assert "Pl4nted" not in server.output_file.read_text()


@pytest.mark.parametrize("text", [None, "", "# all of it is commented out\n"])
@pytest.mark.promise("an invalid configuration is never put in force")
def test_a_file_that_is_lost_is_refused(
    configured: Configured, tmp_path: Path, text: str | None
) -> None:
    """A missing or empty file would open a server that takes mail for its own domains only."""
    server, write = configured
    write(allowed_recipient_domains=["example.com"], rate_limit_per_minute=0)
    reload(server)
    file = tmp_path / "gomail.yaml"
    file.unlink()
    if text is not None:
        file.write_text(text, encoding="utf-8")
    [refusal] = refused_reload(server, 1)
    assert refusal.startswith(f"config: {file} ")
    elsewhere = {"X-Original-Recipient": "a@other.example"}
    assert deliver(server, OLD, **elsewhere).status == 422


def test_a_file_that_nobody_named_is_refused_when_it_is_lost(
    new_server: NewServer, tmp_path: Path
) -> None:
    """The file of the working directory is no longer found then, and no file is no fault."""
    file = tmp_path / "gomail.yaml"
    file.write_text(f"bearer_token: {OLD}\n", encoding="utf-8")
    server = new_server()
    server.start((*GUNICORN, "--config", str(CHECKOUT / "gunicorn.conf.py")), cwd=tmp_path)
    file.rename(tmp_path / "gomail.old")
    [refusal] = refused_reload(server, 1)
    assert refusal.startswith(f"config: {file} does not exist")
    assert deliver(server, OLD).status == 200


def test_a_metrics_port_in_use_is_refused(new_server: NewServer, tmp_path: Path) -> None:
    """Prometheus would find somebody else there."""
    file = tmp_path / "gomail.yaml"
    server = new_server(config=file, metrics_port=None)
    file.write_text(f"metrics_port: {server.metrics_port}\n", encoding="utf-8")
    server.start()
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        file.write_text(f"metrics_port: {taken}\n", encoding="utf-8")
        [refusal] = refused_reload(server, 1)
    assert refusal == f"metrics_port: {taken} is in use on 127.0.0.1 (allowed: a free port)"


def test_a_reload_names_the_file_and_what_is_unwise(configured: Configured, tmp_path: Path) -> None:
    """Whoever sent the signal sees that it was heard, and of which file."""
    server, write = configured
    assert f"Configuration: {tmp_path / 'gomail.yaml'}" in messages_since(server, 0)
    lines = len(server.log())
    write(bearer_token=["short-token"], rate_limit_per_minute=0)
    reload(server)
    said = messages_since(server, lines)
    assert f"Configuration reloaded: {tmp_path / 'gomail.yaml'}" in said
    assert "bearer_token: item 1: is shorter than 32 characters" in said


def messages_since(server: Server, lines: int) -> list[str]:
    """Return the messages of the log after its first `lines`."""
    return [line["message"] for line in server.log()[lines:]]


def calm_bytes(server: Server, load: Load, reloads: int) -> int:
    """Return the memory of master and workers when `reloads` of them are done.

    What processes share counts once. The least of several samples is free of workers that are
    about to end. The workers have answered enough before to have what they need.
    """
    wait_for(lambda: count_reloads(server) == reloads, 30)
    wait_for(lambda: len(server.settled_workers()) == 2, 30)
    answered = len(load.acknowledged)
    wait_for(lambda: len(load.acknowledged) >= answered + WARM_UP_REQUESTS, 30)
    samples: list[int] = []
    while len(samples) < 10:
        wait_for(lambda: len(server.settled_workers()) == 2)
        with suppress(OSError):  # a worker may end at this moment
            samples.append(sum(map(proportional_bytes, [server.pid, *server.worker_pids()])))
        time.sleep(0.1)
    return min(samples)


def count_reloads(server: Server) -> int:
    """Return how many SIGHUPs the master has begun to handle."""
    return sum("Handling signal: hup" in line for line in server.output())


@pytest.mark.promise("a reload loses no request")
def test_reloads_under_load_lose_no_request(new_server: NewServer) -> None:
    """20 SIGHUPs while 8 clients deliver: every request is answered 200, and no memory leaks."""
    server = new_server().start()
    with Load(server) as load:
        for number in range(1, RELOADS + 1):
            os.kill(server.pid, signal.SIGHUP)
            time.sleep(0.3)
            if number == 10:
                after_ten = calm_bytes(server, load, 10)
        at_the_end = calm_bytes(server, load, RELOADS)
    assert load.failures == []
    assert len(load.acknowledged) > 10 * RELOADS
    assert stored_queue_ids(server) == sorted(load.acknowledged)
    after = wait_for(lambda: calm_metrics(server))
    assert after["total_emails"] == len(load.acknowledged)
    print(
        f"{len(load.acknowledged)} messages, {after_ten} bytes after ten, {at_the_end} at the end"
    )
    assert at_the_end <= after_ten * 1.1


@pytest.mark.promise("counters stay exact when workers are replaced")
def test_recycled_workers_leave_no_slot_behind(new_server: NewServer) -> None:
    """When workers end after some requests each, nothing is lost and all counts are exact."""
    server = new_server(workers=6)
    server.start((*GUNICORN, "--max-requests", str(REQUESTS_OF_A_WORKER)), CHECKOUT)
    seen = set[int]()
    with Load(server) as load:
        deadline = time.monotonic() + 60
        while len(seen) < RECYCLED_WORKERS and time.monotonic() < deadline:
            seen.update(server.worker_pids())
            time.sleep(0.02)
    assert len(seen) >= RECYCLED_WORKERS
    assert load.failures == []
    after = wait_for(lambda: calm_metrics(server))
    assert after["total_emails"] == len(load.acknowledged)
    assert stored_queue_ids(server) == sorted(load.acknowledged)
    print(f"{len(seen)} workers, {len(load.acknowledged)} messages")


def calm_metrics(server: Server) -> Any:
    """Return /metrics when no other request is active; None otherwise, or if the worker ended.

    A request is active until its thread has seen to what follows the answer. One that was never
    counted out stays active for ever.
    """
    with suppress(OSError, ValueError):
        values = metrics(server)
        return values if values["active_requests"] == 1 else None
    return None
