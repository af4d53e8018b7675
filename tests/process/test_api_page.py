"""The curl examples in docs/api.md work exactly as printed."""

import itertools
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.reading import PNG, WITH_PARTS
from support.requirement import require_program
from support.server import CHECKOUT, Server
from support.webhook import webhook

PAGE = (CHECKOUT / "docs" / "api.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if line.startswith("curl ") and "$API_TOKEN" in line]
LIST = 'curl --oauth2-bearer "$API_TOKEN" "$URL/messages?limit=200"'
_keys = itertools.count()


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return a running server with an endpoint that fails for a while, then takes everything."""
    with (
        webhook() as hook,
        Server(tmp_path_factory.mktemp("server"), webhook_url=hook.url) as server,
    ):
        hook.answer = lambda push: 200 if hook.ids().count(push.webhook_id) > 1 else 400
        yield server.start()


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
        | {"ID": message_id, "DELIVERY": delivery_of(server, message_id), "ENDPOINT": "webhook"},
        capture_output=True,
        check=False,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, b""), line
    return done.stdout


def delivery_of(server: Server, message_id: str) -> str:
    """Return the id of the delivery of a message; nothing when that was deleted."""
    headers = {"Authorization": f"Bearer {server.api_token}"}
    page = server.request("GET", f"/deliveries?message_id={message_id}", headers=headers).json()
    return "".join(each["id"] for each in page["deliveries"])


def test_each_route_has_a_line() -> None:
    """The section of each route that needs an api_token has at least one example."""
    paths = "messages|deliveries|replays|endpoints"
    routes = re.findall(rf"^## (?:GET|DELETE|POST) /(?:{paths})\S*$", PAGE, re.MULTILINE)
    assert len(routes) == 15
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
    elif "-X POST" in line or "/replays" in line or "/endpoints" in line:
        check_endpoint_line(line, output)
    elif "state=dead" in line:
        assert json.loads(output)["deliveries"] == []
    elif "DELETE" in line or "/delete" in line:
        assert b'"deleted": true' in output or output == b""
        others = run(LIST, shared_server, message_id, tmp_path)
        assert message_id.encode() not in others
    else:
        assert message_id.encode() in output


def check_endpoint_line(line: str, output: bytes) -> None:
    """Check that a line about deliveries and endpoints brought what its section is about."""
    expected = {
        "/retry": ("state", "pending"),
        "/discard": ("state", "discarded"),
        "/replays": ("endpoint", "webhook"),
        "/pause": ("state", "paused"),
        "/resume": ("state", "closed"),
        "/test": ("reason", "refused"),
    }
    document = json.loads(output)
    found = [pair for path, pair in expected.items() if path in line]
    if not found:
        assert [each["name"] for each in document["endpoints"]] == ["webhook"]
    for member, value in found:
        assert document[member] == value
