"""The inbox page of a real server: several workers, restarts, and its line in the log."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from support.known_mail import standing_still
from support.plain_mail import plain_mail
from support.server import Answer, NewServer, Server, wait_for

FORM = {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}


def log_in(server: Server, token: str) -> Answer:
    """Send the form of the login page."""
    return server.request("POST", "/inbox/login", urlencode({"token": token}), FORM)


def session(server: Server) -> dict[str, str]:
    """Return the header with the cookie of a new session."""
    answer = log_in(server, server.api_token)
    assert answer.status == 303, answer.body
    return {"Cookie": answer.headers["Set-Cookie"].partition(";")[0]}


def status(server: Server, headers: dict[str, str], path: str = "/inbox") -> int:
    """Return the status of a page: 303 without a session."""
    return server.request("GET", path, headers=headers).status


def test_a_session_is_valid_in_each_worker(server: Server) -> None:
    """And so is its end."""
    first, second = session(server), session(server)
    workers = server.worker_pids()
    assert len(workers) == 2
    for worker in workers:
        with standing_still(set(workers) - {worker}):
            assert status(server, first) == 200
    assert server.request("POST", "/inbox/logout", "", FORM | first).status == 303
    for worker in workers:
        with standing_still(set(workers) - {worker}):
            assert (status(server, first), status(server, second)) == (303, 200)


def test_a_session_survives_a_restart(server: Server) -> None:
    """And so does its end."""
    ended, kept = session(server), session(server)
    assert server.request("POST", "/inbox/logout", "", FORM | ended).status == 303
    server.stop()
    server.start()
    assert (status(server, ended), status(server, kept)) == (303, 200)
    server.kill()
    server.start()
    assert (status(server, ended), status(server, kept)) == (303, 200)


def test_failed_logins_are_ten_over_all_workers(server: Server) -> None:
    """Whichever worker gets them, at the same moment."""
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: log_in(server, "wrong-token-of-a-guesser"), range(30)))
    assert sorted(answer.status for answer in answers) == [401] * 10 + [429] * 20
    refused = log_in(server, server.api_token)
    assert refused.status == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 6
    output = "\n".join(server.output())
    assert output.count("Login to the inbox page failed") == 10
    assert server.api_token not in output


def test_new_mail_reaches_a_page_that_waits(server: Server) -> None:
    """Within a second, whichever worker has stored it; a page that waits delays nobody."""
    headers = session(server)
    empty = server.request("GET", "/inbox/newer?after=", headers=headers).json()
    path = f"/inbox/newer?wait=20&after={empty['next']}"
    found: list[Answer] = []
    waiting = threading.Thread(
        target=lambda: found.append(server.request("GET", path, headers=headers))
    )
    waiting.start()
    answer = server.deliver(plain_mail("Hello there", b"Body"))
    wait_for(lambda: found, seconds=5)
    waiting.join()
    document = found[0].json()
    assert document["count"] == 1
    assert f"/inbox/{answer.json()['message_id']}" in document["rows"]
    assert "Hello there" in document["rows"]


@pytest.mark.parametrize("is_configured", [True, False])
def test_the_start_says_where_the_page_is(new_server: NewServer, is_configured: bool) -> None:
    """And what to log in with, without the token itself."""
    token = {"api_token": "an-api-token-0123456789-0123456789"} if is_configured else {}
    server = new_server(**token).start()
    [line] = [each["message"] for each in server.log() if "Look at it" in each["message"]]
    assert line.startswith(f"Look at it: {server.url}/inbox, and log in with ")
    if is_configured:
        assert line.endswith("an api_token")
    else:
        file = server.data_dir / "api-token"
        assert line.endswith(f"the token in {file}")
        assert file.read_text().strip() not in json.dumps(server.log())


def test_without_the_page_there_is_nothing(new_server: NewServer) -> None:
    """`inbox_enabled: false` leaves neither a path nor a line."""
    server = new_server(inbox_enabled=False).start()
    assert server.request("GET", "/inbox").json()["code"] == "not_found"
    assert "Look at it" not in json.dumps(server.log())
