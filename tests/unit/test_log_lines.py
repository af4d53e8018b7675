import io
import itertools
import json
import logging
import logging.config
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest

from app import logs

HOSTILE = "a\r\nb\x1b[31m\u2028\x00\x85\x7f\ud800"
Write = Callable[..., str]


@pytest.fixture(params=["json", "text"])
def line_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def write(line_format: str) -> Iterator[Write]:
    """Log through the formatter and the filter of the configuration; return what came out."""
    config = logs.log_config("info", line_format)
    output = io.StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        logging.config.DictConfigurator(config).configure_formatter(
            config["formatters"][line_format]
        )
    )
    handler.addFilter(logs.RequestIdFilter())
    logger = logging.Logger("test")
    logger.addHandler(handler)

    def log(message: str, *arguments: object, **options: Any) -> str:
        logger.error(message, *arguments, **options)
        return output.getvalue()

    token = logs.request_id.set("request-1")
    yield log
    logs.request_id.reset(token)


def lines_of(output: str) -> list[str]:
    assert output.endswith("\n")
    return output[:-1].split("\n")


def test_foreign_text_stays_on_its_line(write: Write) -> None:
    """No control character of a message or of a member reaches the output, and no line end."""
    output = write("Got %s", HOSTILE, extra={"sender": HOSTILE})
    assert len(lines_of(output)) == 1
    assert not [character for character in output[:-1] if not character.isprintable()]


def test_each_line_carries_the_request_id(write: Write, line_format: str) -> None:
    """The id of the request in progress is on the line without being passed along."""
    line = write("Hello")
    expected = {"json": '"request_id": "request-1"', "text": "request_id=request-1"}
    assert expected[line_format] in line


def test_members_are_on_the_line(write: Write, line_format: str) -> None:
    """What is given as extra appears by name and value."""
    line = write("Hello", extra={"size": 5, "queue_id": "A1"})
    if line_format == "json":
        record = json.loads(line)
        assert (record["size"], record["queue_id"]) == (5, "A1")
        assert (record["message"], record["level"], record["logger"]) == ("Hello", "ERROR", "test")
        assert record["request_id"] == "request-1"
        assert record["timestamp"]
    else:
        assert "size=5 queue_id=A1" in line


def test_what_is_omitted_is_on_no_line(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker records less of each line, and its lines say the same."""
    for name in ("_srcfile", "logThreads", "logProcesses", "logMultiprocessing"):
        monkeypatch.setattr(logging, name, getattr(logging, name))
    before = write("Got it", extra={"size": 3})
    logs.omit_what_no_line_shows()
    assert logging.makeLogRecord({}).thread is None
    after = write("Got it", extra={"size": 3}).removeprefix(before)
    digits = str.maketrans("123456789", "000000000")
    assert before.translate(digits) == after.translate(digits)


def test_a_traceback_holds_no_control_character(write: Write) -> None:
    """The text of an exception may be foreign too: nothing of it drives a terminal."""
    output = write("Failed", exc_info=ValueError(HOSTILE))
    first, *following = lines_of(output)
    assert "Failed" in first
    assert [line for line in following if not line.startswith("  ")] == []
    assert "ValueError" in output
    assert not set("\r\x1b\u2028\x00\x85\x7f\ud800") & set(output)


@pytest.mark.parametrize("character", ["a", "\u00e9", "\U0001f600", "\x1b", "\U000e0041", '"'])
def test_no_line_is_longer_than_a_pipe_takes_whole(
    write: Write, line_format: str, character: str
) -> None:
    """Whatever it holds: each member is cut, the line has at most 4096 bytes, and says so."""
    long = character * 8000
    members = {"path": long, "sender": long, "recipient": long, "peer": long, "status": 404}
    output = write("GET %s", long, extra=members)
    assert len(output.encode()) <= logs.LONGEST_LINE
    [line] = lines_of(output)
    if line_format == "json":
        record = json.loads(line)
        assert record["status"] == 404
        assert datetime.fromisoformat(record["timestamp"]).tzinfo is not None
        assert "T" in record["timestamp"]
        for name in ("message", "path", "sender", "recipient", "peer"):
            assert len(record[name]) <= logs.LONGEST_MEMBER
            assert record[name].endswith("\u2026")
    else:
        assert "\u2026" in line


def test_one_long_member_leaves_the_others_whole(write: Write, line_format: str) -> None:
    """A path of 8,000 characters is cut to 512; an address of 320 beside it isn't."""
    address = "b" * 320
    line = write("Hello", extra={"path": "/" + "a" * 8000, "sender": address})
    assert address in line
    cut = "/" + "a" * (logs.LONGEST_MEMBER - 2) + ("\\u2026" if line_format == "json" else "\u2026")
    assert cut in line
    assert "a" * logs.LONGEST_MEMBER not in line


def test_a_long_traceback_keeps_its_end(write: Write) -> None:
    """What has failed is in its last line; only the middle is cut."""
    errors = [ValueError("a" * 400 + f"number {number}") for number in range(20)]
    for cause, error in itertools.pairwise(errors):
        error.__cause__ = cause
    output = write("Failed", exc_info=errors[-1])
    assert len(output.encode()) <= logs.LONGEST_LINE
    assert "number 0" in output
    assert "number 10" not in output
    assert "number 19" in output
    following = lines_of(output)[1:]
    assert [line for line in following if not line.startswith("  ")] == []


@pytest.mark.parametrize("line_format", ["json"], indirect=True)
def test_json_lines_survive_any_value(write: Write) -> None:
    """Values that JSON has no form for are written as text."""
    record = json.loads(write("Hello", extra={"raw": b"\xff", "thing": object}))
    assert record["message"] == "Hello"
