"""The curl examples in docs/api.md work exactly as printed."""

import itertools
import json
import re
import subprocess
from pathlib import Path

import pytest
from support.reading import PNG, WITH_PARTS
from support.requirement import require_program
from support.server import CHECKOUT, Server

PAGE = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if line.startswith("curl ") and "$API_TOKEN" in line]
LIST = 'curl --oauth2-bearer "$API_TOKEN" "$URL/messages?limit=200"'
_keys = itertools.count()


@pytest.fixture
def message_id(shared_server: Server) -> str:
    """Return the id of a stored message."""
    answer = shared_server.deliver(WITH_PARTS, Idempotency_Key=str(next(_keys)))
    found: str = json.loads(answer.body)["message_id"]
    return found


def run(line: str, server: Server, message_id: str, directory: Path) -> bytes:
    """Run `line` in a shell, which must succeed, and return its output."""
    require_program("curl")
    done = subprocess.run(
        ["sh", "-euc", line.replace("curl ", "curl --silent --show-error --fail ", 1)],
        cwd=directory,
        env={"PATH": "/usr/bin:/bin", "API_TOKEN": server.api_token, "URL": server.url}
        | {"ID": message_id},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, b""), line
    return done.stdout


def test_each_route_has_a_line() -> None:
    """The section of each route for messages has at least one example."""
    routes = re.findall(r"^## (?:GET|DELETE|POST) /messages\S*$", PAGE, re.MULTILINE)
    assert len(routes) == 6
    for route in routes:
        section = PAGE.split(f"{route}\n")[1].split("\n## ")[0]
        assert "\ncurl " in section


@pytest.mark.parametrize("line", LINES)
def test_a_line_does_what_it_says(
    line: str, shared_server: Server, message_id: str, tmp_path: Path
) -> None:
    """The example succeeds, and prints or saves what its section describes."""
    output = run(line, shared_server, message_id, tmp_path)
    saved = [path.read_bytes() for path in tmp_path.iterdir()]
    if "/raw" in line:
        whole = output + b"".join(saved)
        assert whole.startswith(b"HTTP/1.1 200" if " -I " in line else WITH_PARTS[:100])
    elif "/parts/" in line:
        assert saved == [PNG]
    elif "DELETE" in line or "/delete" in line:
        assert b'"deleted": true' in output or output == b""
        others = run(LIST, shared_server, message_id, tmp_path)
        assert message_id.encode() not in others
    else:
        assert message_id.encode() in output
