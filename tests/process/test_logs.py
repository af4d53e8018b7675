import json
from collections.abc import Iterator
from contextlib import closing
from datetime import date

import pytest
from support.server import NewServer, Server

MESSAGE = b"From: a@example.com\r\nTo: b@example.com\r\nSubject: logged\r\n\r\nsecret text\r\n"
HOSTILE_TARGETS = [
    "/mail%0d%0ainjected",
    "/%1b%5b31m",
    "/%e2%80%a8line",
    "/%c2%85%00",
    "/%ff%fe",
    '/"%22},{"a":"',
]
HOSTILE_HEADERS = [
    b"X-Request-ID: \xe2\x80\xa8",
    b"X-Request-ID: \x1b[31m",
    b"X-Request-ID: " + b"x" * 129,
    b"X-Original-Sender: \x1b[31m@example.com",
    b"X-Original-Sender: caf\xc3\xa9\xe2\x80\xa8@example.com",
    b"X-Original-Queue-Id: \x1b]0;title\x07",
    b"X-Original-Queue-Id: \xe2\x80\xa8\xff",
    b"bad header\x00: x",
]


def send_hostile_requests(server: Server) -> None:
    """Send what tries to break out of a log line, past any HTTP library that would object."""
    for target in HOSTILE_TARGETS:
        send(server, f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    for field in HOSTILE_HEADERS:
        send(
            server,
            b"POST /mail/inbound HTTP/1.1\r\nHost: localhost\r\nContent-Type: message/rfc822\r\n"
            b"Authorization: Bearer %b\r\nContent-Length: %d\r\n%b\r\n\r\n%b"
            % (server.token.encode(), len(MESSAGE), field, MESSAGE),
        )
    send(server, b"\x16\x03\x01 no HTTP at all\r\n\x1b[31m\r\n\r\n")


def send(server: Server, data: bytes) -> None:
    """Send `data` on a connection of its own and wait for the beginning of an answer."""
    with closing(server.connect(10)) as connection:
        connection.sendall(data)
        connection.recv(65536)


@pytest.fixture(scope="module")
def busy_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a server that was started, used in good and bad ways, and stopped."""
    with Server(tmp_path_factory.mktemp("busy"), log_level="debug") as server:
        server.start()
        server.deliver(MESSAGE, X_Request_ID="the-good-one")
        server.request("POST", "/mail/inbound", b"", {"X-Request-ID": "no-token"})
        send_hostile_requests(server)
        server.stop()
        yield server


def test_every_line_of_a_run_is_one_json_object(busy_run: Server) -> None:
    """From start to stop each line parses, has a request_id, and holds no raw control character."""
    raw = busy_run.output_file.read_bytes()
    text = raw.decode("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]  # U+2028 and U+0085 split lines too
    assert all(isinstance(line, dict) and "request_id" in line for line in lines)
    assert not [character for character in text if character < " " and character != "\n"]
    assert len(lines) == raw.count(b"\n")
    assert {"timestamp", "level", "logger", "message"} <= set(lines[0])


def test_the_start_the_requests_and_the_stop_are_logged(busy_run: Server) -> None:
    """The lines of Gunicorn and of GoMail arrive in the same place."""
    loggers = {line["logger"] for line in busy_run.log()}
    messages = [line["message"] for line in busy_run.log()]
    assert {"gunicorn.error", "gomail"} <= loggers
    assert any(message.startswith("Try it: ") for message in messages)
    assert "POST /mail/inbound 200" in messages
    assert messages[-1] == "Shutting down: Master"


def test_the_id_of_a_request_is_on_its_lines_and_on_no_other(busy_run: Server) -> None:
    """A line between two requests of one thread has none."""
    good = [line for line in busy_run.log() if line["request_id"] == "the-good-one"]
    assert [line["message"] for line in good] == ["POST /mail/inbound 200"]
    refused = [line for line in busy_run.log() if line["request_id"] == "no-token"]
    assert [(line["status"], line["code"]) for line in refused] == [(401, "unauthorized")]
    by_gunicorn = [line for line in busy_run.log() if line["logger"] == "gunicorn.error"]
    with_an_id = [line for line in by_gunicorn if line["request_id"] is not None]
    assert {line["message"] for line in with_an_id} == {
        "A request was refused unparsed: bad_request"
    }
    assert len({line["request_id"] for line in with_an_id}) == len(with_an_id)


def test_neither_token_nor_text_of_a_message_is_logged(busy_run: Server) -> None:
    """Whoever reads logs must not be able to send or to read mail."""
    written = busy_run.output_file.read_text(encoding="utf-8") + busy_run.errors()
    assert busy_run.token not in written
    assert "secret text" not in written


def test_nothing_is_written_to_standard_error(busy_run: Server) -> None:
    """A collector of standard output misses nothing."""
    assert busy_run.errors() == ""


def test_debug_prints_no_configuration(busy_run: Server) -> None:
    """Gunicorn would print all of its own, a line of four thousand characters."""
    assert not [line for line in busy_run.output() if "Current configuration" in line]


def test_text_lines_carry_the_date(new_server: NewServer) -> None:
    """A log that is read tomorrow tells today's lines from yesterday's."""
    server = new_server(log_format="text").start()
    server.stop()
    assert all(date.fromisoformat(line[:10]) for line in server.output())


def test_text_lines_hold_no_raw_control_character_either(new_server: NewServer) -> None:
    """A terminal that shows the log can't be taken over by a request."""
    server = new_server(log_format="text").start()
    send_hostile_requests(server)
    server.stop()
    text = server.output_file.read_text(encoding="utf-8")
    assert not [line for line in text.split("\n") if line and not line.isprintable()]
    assert "injected" in text


def test_the_answer_names_the_id_that_the_log_has(shared_server: Server) -> None:
    """An id of the server's own is made where the client gives none that is sane."""
    answer = shared_server.request("GET", "/nowhere")
    own = answer.headers["X-Request-ID"]
    assert own == answer.json()["request_id"]
    assert [line["status"] for line in shared_server.log() if line["request_id"] == own] == [404]
