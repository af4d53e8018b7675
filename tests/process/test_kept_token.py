import os
import signal

from support.linux_process import kill_process
from support.plain_mail import plain_mail
from support.server import START_SECONDS, NewServer, Server, wait_for


def statuses(server: Server, token: str) -> set[int]:
    """Return what enough deliveries are answered to have met every worker."""
    fields = {"Authorization": f"Bearer {token}", "Content-Type": "message/rfc822"}
    mail = [plain_mail(f"number {number}", b"x") for number in range(20)]
    return {server.request("POST", "/mail/inbound", each, fields).status for each in mail}


def replace_workers(server: Server) -> None:
    """Kill all workers and wait for others."""
    old = wait_for(server.settled_workers, START_SECONDS)
    for pid in old:
        kill_process(pid)
    wait_for_other_workers(server, old)
    wait_for(lambda: server.request("GET", "/ready").status == 200)


def wait_for_other_workers(server: Server, old: set[int]) -> None:
    """Wait until there are as many others, and none of the old ones."""
    wait_for(
        lambda: len(now := server.settled_workers()) == len(old) and old.isdisjoint(now),
        START_SECONDS,
    )


def test_tokens_stay_valid_when_their_files_are_removed(new_server: NewServer) -> None:
    """Workers that start later inherit them from the master, and generate no new ones.

    A restart generates new ones.
    """
    server = new_server().start()
    token, api_token = server.token, server.api_token
    files = [server.data_dir / "token", server.data_dir / "api-token"]
    for file in files:
        file.unlink()
    replace_workers(server)
    assert (statuses(server, token), statuses(server, api_token)) == ({200}, {403})
    assert not any(file.exists() for file in files)
    server.stop()
    server.start()
    assert token != server.token
    assert api_token != server.api_token
    assert (statuses(server, token), statuses(server, api_token)) == ({401}, {401})


def test_a_token_that_a_reload_brings_stays_the_one_too(new_server: NewServer) -> None:
    """With the configured tokens gone, the master generates one for all workers to come."""
    server = new_server(bearer_token=None)
    settings = server.data_dir.with_name("gomail.yaml")
    settings.write_text("bearer_token: the-configured-token-of-this-test\n", encoding="utf-8")
    server.environment["MAIL_CONFIG"] = str(settings)
    server.start()
    assert not (server.data_dir / "token").exists()
    settings.write_text("log_level: info\n", encoding="utf-8")
    old = wait_for(server.settled_workers)
    os.kill(server.pid, signal.SIGHUP)
    wait_for_other_workers(server, old)
    token = server.token
    (server.data_dir / "token").unlink()
    replace_workers(server)
    assert statuses(server, token) == {200}
