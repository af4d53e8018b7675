import json
import mailbox
import os
import re
import subprocess
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from support.requirement import require_program
from support.server import FLASK, FLASK_SERVER, NewServer, Server

from app.cli.messages import messages

MESSAGE = (
    b"From: a@example.com\r\nTo: b@example.com\r\nSubject: =?utf-8?q?gr=C3=BCn?=\r\n\r\n"
    b"Hi \xff\r\nFrom me\r\n"
)


def try_it_line(server: Server, beginning: str = "Try it: ") -> str:
    """Return the command that the start-up message shows after `beginning`."""
    messages = [
        json.loads(line)["message"] if line.startswith("{") else line for line in server.output()
    ]
    [shown] = [message for message in messages if beginning in message]
    return shown.partition(beginning)[2]


@pytest.mark.promise("the lines shown at the start work when pasted")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_lines_shown_at_the_start_work_when_pasted(
    new_server: NewServer, tmp_path: Path, log_format: str
) -> None:
    """In a shell in any directory, the first line stores a message, and the second lists it."""
    require_program("curl")
    server = new_server(log_format=log_format).start()
    stored, listed = (
        subprocess.run(
            ["sh", "-c", try_it_line(server, beginning)],
            cwd=tmp_path,
            capture_output=True,
            check=True,
            timeout=30,
        )
        for beginning in ("Try it: ", "Read it: ")
    )
    message_id = json.loads(stored.stdout)["message_id"]
    assert b"Subject: Hello from curl" in server.gomail("messages", "show", message_id).stdout
    [summary] = json.loads(listed.stdout)["messages"]
    assert (summary["id"], summary["subject"]) == (message_id, "Hello from curl")
    written = server.output_file.read_text() + server.errors()
    assert server.token not in written
    assert server.api_token not in written


@pytest.mark.parametrize("key", ["primary_domain", "allowed_recipient_domains"])
def test_the_line_names_a_recipient_that_is_accepted(new_server: NewServer, key: str) -> None:
    """Whatever domains the settings name."""
    require_program("curl")
    server = new_server(**{key: "mail.example"}).start()
    pasted = subprocess.run(
        ["sh", "-c", try_it_line(server)], capture_output=True, check=True, timeout=30
    )
    assert json.loads(pasted.stdout)["status"] == "success"
    [line] = [line for line in server.log() if line.get("message_id")]
    assert line["recipient"] == "support@mail.example"


def test_the_line_works_with_a_data_directory_that_needs_quoting(
    new_server: NewServer, tmp_path: Path
) -> None:
    """Spaces and quotes in the path stay harmless."""
    require_program("curl")
    server = new_server(data_dir=tmp_path / "it's my mail; $HOME").start()
    pasted = subprocess.run(
        ["sh", "-c", try_it_line(server)], capture_output=True, check=True, timeout=30
    )
    assert json.loads(pasted.stdout)["status"] == "success"


@pytest.fixture(scope="module")
def filled(shared_server: Server) -> tuple[Server, list[str]]:
    """Return a server with three messages of two recipients, and their ids in order."""
    envelopes = [
        ("one@example.com", "ann@example.com"),
        ("", "bob@example.com"),
        ("three@example.com", "ann@example.com"),
    ]
    ids = []
    for number, (sender, recipient) in enumerate(envelopes):
        answer = shared_server.deliver(
            MESSAGE,
            X_Original_Sender=sender,
            X_Original_Recipient=recipient,
            X_Original_Queue_Id=f"queue{number}",
        )
        ids.append(answer.json()["message_id"])
        time.sleep(0.002)  # ids of one millisecond have no order, and times no filter between them
    return shared_server, ids


def listed(server: Server, *options: str) -> Any:
    """Return the ids that `messages list --json` shows."""
    result = server.gomail("messages", "list", "--json", *options)
    assert result.returncode == 0
    assert result.stderr == b"" or "--limit" in options
    return [message["id"] for message in json.loads(result.stdout)]


def test_the_list_shows_what_a_person_wants_to_know(filled: tuple[Server, list[str]]) -> None:
    """A line for each message, the newest first, with the subject decoded."""
    server, ids = filled
    result = server.gomail("messages", "list")
    heading, *lines = result.stdout.decode().splitlines()
    assert heading.split()[0] == "ID"
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert lines[0].split()[3:] == [
        str(len(MESSAGE)),
        "three@example.com",
        "ann@example.com",
        "grün",
    ]
    assert lines[1].split()[4:6] == ["<>", "bob@example.com"]


def test_a_list_that_was_cut_says_how_to_go_on(filled: tuple[Server, list[str]]) -> None:
    """On standard error, so that a script still gets JSON; what it says leads on to the end."""
    server, ids = filled
    cut = server.gomail("messages", "list", "--json", "--limit", "2")
    assert [each["id"] for each in json.loads(cut.stdout)] == ids[:-3:-1]
    told = re.search(r"--until (\S+)", cut.stderr.decode())
    assert told is not None
    assert listed(server, "--until", told[1]) == ids[-2::-1]
    assert listed(server, "--limit", str(len(ids))) == ids[::-1]


def test_the_list_as_json_holds_the_envelope(filled: tuple[Server, list[str]]) -> None:
    """A script gets what the table shows, and more, without parsing columns."""
    server, ids = filled
    [newest, *_] = json.loads(server.gomail("messages", "list", "--json").stdout)
    assert newest["id"] == ids[-1]
    assert newest["envelope"]["sender"] == "three@example.com"
    assert newest["envelope"]["queue_id"] == "queue2"
    assert newest["size"] == len(MESSAGE)
    assert datetime.fromisoformat(newest["received_at"]).tzinfo is not None


def test_the_list_is_filtered_by_recipient_time_and_number(
    filled: tuple[Server, list[str]],
) -> None:
    """Each filter alone: recipients in any case, since inclusive, until exclusive, the newest N."""
    server, ids = filled
    assert listed(server, "--recipient", "ANN@example.com") == [ids[2], ids[0]]
    assert listed(server, "--limit", "2") == [ids[2], ids[1]]
    received = json.loads(server.gomail("messages", "list", "--json").stdout)
    times = [message["received_at"] for message in reversed(received)]
    assert listed(server, "--since", times[1]) == [ids[2], ids[1]]
    assert listed(server, "--until", times[1]) == [ids[0]]


def test_a_message_is_shown_readable_and_raw(filled: tuple[Server, list[str]]) -> None:
    """For people with its envelope and nothing that a terminal obeys; raw is byte for byte."""
    server, ids = filled
    shown = server.gomail("messages", "show", ids[1])
    assert b"Recipient: bob@example.com\n" in shown.stdout
    assert shown.stdout.decode().endswith("\n\nHi ÿ\nFrom me\n")
    assert server.gomail("messages", "show", ids[1], "--raw").stdout == MESSAGE


@pytest.mark.promise("an export is byte for byte")
def test_the_export_as_files_is_byte_for_byte(
    filled: tuple[Server, list[str]], tmp_path: Path
) -> None:
    """One file for each message, under its id, after the fields of its envelope."""
    server, ids = filled
    result = server.gomail("messages", "export", tmp_path / "out")
    assert (result.returncode, result.stdout) == (
        0,
        f"Exported 3 messages to {tmp_path / 'out'}\n".encode(),
    )
    exported = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert exported.keys() == {f"{message_id}.eml" for message_id in ids}
    for content in exported.values():
        envelope, message = content[: -len(MESSAGE)], content[-len(MESSAGE) :]
        assert message == MESSAGE
        assert all(line.startswith(b"X-Original-") for line in envelope.splitlines())
    modes = [
        path.stat().st_mode & 0o777 for path in (tmp_path / "out", *(tmp_path / "out").iterdir())
    ]
    assert modes == [0o700, 0o600, 0o600, 0o600]


def test_the_export_as_mbox_is_read_by_mail_programs(
    filled: tuple[Server, list[str]], tmp_path: Path
) -> None:
    """Python's mailbox module finds each message, the oldest first."""
    server, _ = filled
    assert server.gomail("messages", "export", tmp_path, "--format", "mbox").returncode == 0
    assert (tmp_path / "gomail.mbox").stat().st_mode & 0o777 == 0o600
    with closing(mailbox.mbox(tmp_path / "gomail.mbox", create=False)) as box:
        found = list(box)
    assert [message.get_from().split()[0] for message in found] == [
        "one@example.com",
        "MAILER-DAEMON",
        "three@example.com",
    ]
    assert {message["Subject"] for message in found} == {"=?utf-8?q?gr=C3=BCn?="}
    assert {message.get_payload(decode=True) for message in found} == {b"Hi \xff\n>From me\n"}


def test_a_store_that_cannot_be_read_is_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever isn't the user of the server, or has a copy that can't be written, hears that."""
    monkeypatch.setenv("MAIL_DATA_DIR", str(tmp_path))
    (tmp_path / "gomail.db").mkdir()
    damaged = CliRunner().invoke(messages, ["list", "--config", "/dev/null"])
    assert (damaged.exit_code, damaged.exception.__class__) == (1, SystemExit)
    assert f"The store in {tmp_path} can't be opened: unable to open" in damaged.output

    real_stat = Path.stat

    def refuse(path: Path, **options: bool) -> os.stat_result:
        if path.name == "gomail.db":
            raise PermissionError(13, "Permission denied")
        return real_stat(path, **options)

    monkeypatch.setattr(Path, "stat", refuse)
    refused = CliRunner().invoke(messages, ["list", "--config", "/dev/null"])
    assert refused.exit_code == 1
    assert (
        f"The store in {tmp_path} can't be opened: [Errno 13] Permission denied" in refused.output
    )
    assert "Run this as the user of the server" in refused.output


def test_a_file_that_nobody_named_is_named_where_it_cannot_be_missed(
    filled: tuple[Server, list[str]], tmp_path: Path
) -> None:
    """The file of the working directory outranks that of the server; the output stays JSON."""
    server, ids = filled
    file = tmp_path / "gomail.yml"
    file.write_text("log_level: debug\n", encoding="utf-8")
    command = [str(FLASK), "gomail", "messages", "list", "--json"]
    found, named = (
        subprocess.run(
            [*command, *options],
            cwd=tmp_path,
            env=server.environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        for options in ((), ("--config", str(file)))
    )
    assert (found.stderr, named.stderr) == (f"Configuration: {file}\n", "")
    assert len(json.loads(found.stdout)) == len(ids)


def test_an_unknown_id_is_said_in_a_line(filled: tuple[Server, list[str]]) -> None:
    """No traceback, and a code that a script sees."""
    server, _ = filled
    result = server.gomail("messages", "show", "nothing")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr == b"No message has the id 'nothing'.\n"


def test_an_empty_data_directory_is_said_in_a_line(new_server: NewServer) -> None:
    """Before the first start there is nothing to list, and looking creates nothing."""
    server = new_server()
    result = server.gomail("messages", "list")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.decode() == f"Nothing is stored in {server.data_dir} yet.\n"
    assert not server.data_dir.exists()


def test_the_flask_command_starts_from_any_directory(new_server: NewServer, tmp_path: Path) -> None:
    """Flags alone configure it, outside the checkout, with no configuration file."""
    server = new_server(port=None, data_dir=None)
    flags = ["--config", os.devnull, "--port", server.port, "--data-dir", server.data_dir]
    server.start([*FLASK_SERVER, *map(str, flags)], cwd=tmp_path)
    assert server.deliver(MESSAGE).status == 200
    assert [path.name for path in tmp_path.iterdir()] == ["server0"]
    assert {path.name for path in server.data_dir.iterdir()} >= {"token", "gomail.db", "segments"}


def test_a_short_token_in_a_file_starts_with_a_warning(
    new_server: NewServer, tmp_path: Path
) -> None:
    """The simplest configuration that people write works, and says what is unwise about it."""
    server = new_server(port=None, metrics_port=None)
    file = tmp_path / "gomail.yaml"
    file.write_text(
        f"port: {server.port}\nbearer_token: test-token\nmetrics_enabled: true\n"
        f"metrics_port: {server.metrics_port}\nmetrics_path: /metrics\n",
        encoding="utf-8",
    )
    file.chmod(0o600)
    server.start([*FLASK_SERVER, "--config", str(file)], cwd=tmp_path)
    headers = {"Authorization": "Bearer test-token", "Content-Type": "message/rfc822"}
    assert server.request("POST", "/mail/inbound", MESSAGE, headers).status == 200
    assert server.errors() == "warning: bearer_token: is shorter than 32 characters\n"
    assert not (server.data_dir / "token").exists()
    assert "test-token" not in server.output_file.read_text(encoding="utf-8")


@pytest.mark.promise("a generated token survives a restart and stays secret")
def test_a_generated_token_stays_the_same_and_secret(new_server: NewServer) -> None:
    """It survives a restart, only its owner can read it, and no line shows it."""
    server = new_server().start()
    first = server.token
    server.stop()
    server.start()
    assert server.token == first
    assert len(first) >= 32
    assert (server.data_dir / "token").stat().st_mode & 0o777 == 0o600
    assert server.deliver(MESSAGE).status == 200
    assert first not in server.output_file.read_text(encoding="utf-8") + server.errors()


def test_a_generated_secret_stays_the_same_and_secret(new_server: NewServer) -> None:
    """A start says where it is and not what it is; and a restart keeps it."""
    server = new_server(webhook_url="http://127.0.0.1:9/").start()
    file = server.data_dir / "endpoints" / "webhook.secret"
    first = file.read_text(encoding="ascii")
    assert first.startswith("whsec_")
    assert file.stat().st_mode & 0o777 == 0o600
    line = f"Secrets in {file.parent} sign what is sent to: webhook"
    assert [entry["message"] for entry in server.log()].count(line) == 1
    server.stop()
    server.start()
    assert file.read_text(encoding="ascii") == first
    assert first.strip() not in server.output_file.read_text(encoding="utf-8") + server.errors()


def test_help_works_without_any_configuration(tmp_path: Path) -> None:
    """The first thing people type."""
    result = subprocess.run(
        [FLASK, "gomail", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "messages" in result.stdout
    assert result.stderr == ""
