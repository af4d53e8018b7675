"""The image that is shipped: built from the Dockerfile, and run as an engine would run it."""

import json
import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from support.container import DATA_DIR, USER, Container, Image, checkout_copy, new_volume
from support.linux_process import children
from support.server import CHECKOUT, Answer, Server, free_port, wait_for
from support.upload import MESSAGE, uploads_in_flight
from support.webhook import webhook

from app.version import __version__

pytestmark = pytest.mark.image

DOCUMENT = yaml.safe_load((CHECKOUT / "app" / "web" / "openapi.yaml").read_text(encoding="utf-8"))
ROUTES = [
    (path, method.upper())
    for path, operations in DOCUMENT["paths"].items()
    for method in operations
]
SECRETS = (
    ".env",
    ".git/config",
    ".venv/bin/python",
    "config/secrets/token",
    "data/token",
    "gomail.yaml",
    "id_ed25519",
    "notes/token.txt",
)
SECRET = "the-secret-of-a-checkout"
MOST_MEGABYTES = 250
DELIVERY = {"/mail/inbound", "/email"}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """Return the image, built from a checkout that holds more than belongs into it."""
    checkout = checkout_copy(tmp_path_factory.mktemp("checkout"))
    for name in SECRETS:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(f"# {SECRET}\n", encoding="utf-8")
    with Image(f"localhost/gomail-test-{os.getpid()}", checkout) as image:
        yield image


@contextmanager
def new_container(
    directory: Path,
    image: Image,
    volume: Path | None = None,
    mounts: dict[Path, str] | None = None,
    **settings: object,
) -> Iterator[Container]:
    """Yield a container of `image` that isn't started; its log is in `directory`."""
    directory.mkdir(exist_ok=True)
    volume = volume or new_volume(directory)
    with Container(directory, image, volume, mounts, **settings) as container:
        yield container


@pytest.fixture(scope="module")
def container(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Return a running container for the tests that don't mind each other.

    Its endpoint is at this host, and accepts nothing.
    """
    with webhook() as application:
        application.answer = lambda _: 503
        directory = tmp_path_factory.mktemp("container")
        with new_container(directory, image, webhook_url=application.url) as container:
            yield container.start()


def listed(container: Container) -> Any:
    """Return what `flask gomail messages list` in the container lists, each by its id."""
    done = container.gomail("messages", "list", "--json")
    assert done.returncode == 0, done.stderr
    return {message["id"]: message for message in json.loads(done.stdout)}


def request(container: Server, path: str, method: str) -> Answer:
    """Send a valid request to a route, for a message of its own if it needs one."""
    if path in DELIVERY:
        body = MESSAGE if method == "POST" else None
        fields = {"Content-Type": "message/rfc822", "Authorization": f"Bearer {container.token}"}
        return container.request(method, path, body, fields)
    fields = {"Content-Type": "application/json", "Authorization": f"Bearer {container.api_token}"}
    message_id = container.deliver(MESSAGE, Idempotency_Key=f"{method} {path}").json()["message_id"]
    bodies = {
        "/messages/delete": {"ids": [message_id]},
        "/replays": {"endpoint": "webhook", "since": "2026-01-01", "dry_run": True},
    }
    body = json.dumps(bodies[path]).encode() if method == "POST" and path in bodies else None
    if path.startswith("/deliveries/{id}"):
        [newest] = container.request("GET", "/deliveries?limit=1", None, fields).json()[
            "deliveries"
        ]
        assert newest["message_id"] == message_id
        path = path.replace("{id}", newest["id"])
    named = path.format(id=message_id, part="1", name="webhook")
    return container.request(method, named, body, fields)


def required_headers(described: dict[str, Any]) -> set[str]:
    """Return the headers that an answer must have."""
    known = DOCUMENT["components"]["headers"]
    names = {name: each["$ref"].rpartition("/")[2] for name, each in described["headers"].items()}
    return {name for name, component in names.items() if known[component].get("required")}


@pytest.mark.parametrize(("path", "method"), ROUTES)
def test_each_route_answers(container: Container, path: str, method: str) -> None:
    """Each method of each path succeeds, with the documented headers and body."""
    answer = request(container, path, method)
    assert answer.status == (204 if method == "DELETE" else 200), answer.body
    described = DOCUMENT["paths"][path][method.lower()]["responses"][str(answer.status)]
    assert required_headers(described) <= set(answer.headers)
    if method in {"HEAD", "OPTIONS", "DELETE"}:
        assert answer.body == b""
    elif answer.headers["Content-Type"] == "application/json":
        schema = described["content"]["application/json"]["schema"]
        whole = schema | {"components": DOCUMENT["components"]}
        Draft202012Validator(whole).validate(answer.json())
    else:
        assert answer.body in {MESSAGE, MESSAGE.partition(b"\r\n\r\n")[2]}


def test_it_serves_its_own_description(container: Container) -> None:
    """GET /openapi.json is the description in the checkout; another path is a problem, 404."""
    assert container.request("GET", "/openapi.json").json() == DOCUMENT
    missing = container.request("GET", "/nothing")
    assert (missing.status, missing.json()["code"]) == (404, "not_found")


def test_it_tells_the_version_that_was_built(container: Container) -> None:
    """GET /health says that it can store, and which version it is."""
    health = container.request("GET", "/health").json()
    assert (health["status"], health["version"]) == ("healthy", __version__)


def test_the_metrics_port_counts_what_came(container: Container) -> None:
    """A message more is a message more there; the port has no other path."""
    before = container.scrape().value("emails_processed_total", status="success")
    assert container.deliver(MESSAGE, X_Original_Queue_Id="counted").status == 200
    assert container.scrape().value("emails_processed_total", status="success") == before + 1
    assert container.scrape().value("build_info", version=__version__) == 1
    assert container.get_metrics("/health").status == 404


def test_what_curl_delivers_is_listed(container: Container) -> None:
    """With the generated token; a second process in the container lists it, and has its bytes."""
    done = subprocess.run(
        [
            *("curl", "--silent", "--show-error", "--fail", "--max-time", "20"),
            *("--oauth2-bearer", container.token),
            *("--header", "Content-Type: message/rfc822"),
            *("--header", "X-Original-Queue-Id: curl"),
            *("--data-binary", "@-", f"{container.url}/mail/inbound"),
        ],
        input=MESSAGE,
        capture_output=True,
        check=True,
    )
    message_id = json.loads(done.stdout)["message_id"]
    message = listed(container)[message_id]
    assert (message["size"], message["envelope"]["queue_id"]) == (len(MESSAGE), "curl")
    assert container.gomail("messages", "show", message_id, "--raw").stdout == MESSAGE


def test_the_commands_work_beside_the_server(container: Container) -> None:
    """`check` sends a message the whole way, `validate` finds no fault, the relay is there."""
    checked = container.gomail("check")
    assert (checked.returncode, b"ok: " in checked.stdout) == (0, True), checked.stderr
    validated = container.gomail("validate", "--strict")
    assert (validated.returncode, b"0 errors, 0 warnings" in validated.stdout) == (0, True)
    lines = container.gomail("postfix-config", "--part", "master.cf")
    assert lines.returncode == 0, lines.stderr
    relay = "/opt/gomail/config/postfix/gomail-relay"
    assert f"argv={relay}" in lines.stdout.decode()
    assert container.run("test", "-x", relay).returncode == 0


def test_no_process_has_more_than_it_needs(container: Container) -> None:
    """All run as the image's user, without capabilities.

    Master, two workers, metrics, retention and deliveries.
    """
    pids = [container.pid, *children(container.pid)]
    assert len(pids) == 1 + 2 + 3
    for pid in pids:
        fields = status(pid)
        assert set(fields["Uid"].split()) == {str(USER)}
        assert "0" not in fields["Gid"].split()
        assert int(fields["CapEff"], 16) == 0


def status(pid: int) -> dict[str, str]:
    """Return what Linux tells of the process `pid`."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def test_what_is_stored_is_for_its_owner_only(container: Container) -> None:
    """Every file in the volume belongs to the image's user: directories 0700, files 0600."""
    assert container.deliver(MESSAGE, X_Original_Queue_Id="owned").status == 200
    paths = [container.data_dir, *container.data_dir.rglob("*")]
    assert {"token", "gomail.db", "segments"} <= {path.name for path in paths}
    for path in paths:
        facts = path.stat()
        assert facts.st_uid == USER, path
        assert stat.S_IMODE(facts.st_mode) == (0o700 if path.is_dir() else 0o600), path


def test_it_writes_nothing_beside_the_volume(image: Image, tmp_path: Path) -> None:
    """So Compose and Kubernetes can have the root file system read-only, but for /tmp."""
    with new_container(tmp_path / "run", image) as container:
        before = written(container.root)
        container.start()
        assert container.deliver(MESSAGE).status == 200
        assert container.gomail("check").returncode == 0
        assert container.stop() == 0
        assert written(container.root) == before


def written(root: Path) -> set[tuple[Path, int]]:
    """Return the files below `root` that aren't links, with their time; /tmp is left out."""
    return {
        (path, path.stat().st_mtime_ns)
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and path.relative_to(root).parts[0] != "tmp"
    }


def test_the_health_check_tells_a_server_from_none(image: Image, container: Container) -> None:
    """The image's own command succeeds beside the server, and fails where nothing listens."""
    kind, *command = image.config["Healthcheck"]["Test"]
    assert kind == "CMD"
    assert container.run(*command).returncode == 0
    assert container.run(*command, port=free_port()).returncode != 0


def test_the_image_tells_engines_how_to_run_it(image: Image) -> None:
    """Its user, its two ports, its volume, and addresses that can be reached from outside."""
    assert image.config["User"] == str(USER)
    assert image.config["ExposedPorts"].keys() == {"3000/tcp", "9090/tcp"}
    assert image.config["Volumes"].keys() == {DATA_DIR}
    expected = {"MAIL_HOST": "0.0.0.0", "MAIL_METRICS_HOST": "0.0.0.0", "MAIL_PORT": "3000"}
    assert expected.items() <= image.environment.items()
    assert image.environment["MAIL_DATA_DIR"] == DATA_DIR


def test_the_image_holds_nothing_of_the_checkout_but_gomail(
    image: Image, container: Container
) -> None:
    """No secret that lay in the checkout, no test, no installer; an empty data directory."""
    place = container.root / image.config["WorkingDir"].lstrip("/")
    assert (place / "app" / "web" / "openapi.yaml").is_file()
    found = {path.name for path in place.iterdir()}
    assert found & {".git", ".env", "data", "docs", "gomail.yaml", "notes", "tests"} == set()
    for path in filter(Path.is_file, place.rglob("*")):
        assert SECRET.encode() not in path.read_bytes(), path
    assert container.run("python", "-m", "pip", "--version").returncode != 0
    data = container.root / DATA_DIR.lstrip("/")
    assert list(data.iterdir()) == []  # the volume is mounted where only the container sees it
    assert (data.stat().st_uid, stat.S_IMODE(data.stat().st_mode)) == (USER, 0o700)


def test_the_image_is_small(image: Image, capsys: pytest.CaptureFixture[str]) -> None:
    """Its size, with that of the base, is bounded; whoever runs this sees it."""
    with capsys.disabled():
        print(f" The image has {image.megabytes:.0f} MB ", end="")
    assert image.megabytes < MOST_MEGABYTES


def test_a_stop_drains_and_the_next_container_finds_the_mail(image: Image, tmp_path: Path) -> None:
    """What is in flight finishes with 200, the rest gets 503; all that got 200 is there later."""
    volume = new_volume(tmp_path)
    with new_container(tmp_path / "first", image, volume) as first:
        first.start()
        stored = first.deliver(MESSAGE, X_Original_Queue_Id="before").json()["message_id"]
        with uploads_in_flight(first, 1) as [upload]:
            os.kill(first.pid, signal.SIGTERM)
            wait_for(lambda: first.request("GET", "/ready").status == 503)
            turned_away = first.deliver(MESSAGE, X_Original_Queue_Id="late")
            assert (turned_away.status, turned_away.json()["code"]) == (503, "shutting_down")
            finished = upload.finish()
        assert finished.status == 200
        assert first.wait() == 0
    with new_container(tmp_path / "second", image, volume) as second:
        assert listed(second).keys() == {stored, finished.json()["message_id"]}
        second.start()
        again = second.deliver(MESSAGE, X_Original_Queue_Id="before").json()
        assert (again["message_id"], again["duplicate"]) == (stored, True)
        assert second.stop() == 0


def test_settings_and_token_are_found_where_kubernetes_mounts_them(
    image: Image, tmp_path: Path
) -> None:
    """The ConfigMap of config/kubernetes.yaml and a token from a file are what counts."""
    settings, secret = tmp_path / "gomail.yaml", tmp_path / "token"
    settings.write_text(config_map()["gomail.yaml"], encoding="utf-8")
    secret.write_text("k7" * 16, encoding="ascii")
    secret.chmod(0o400)
    os.chown(secret, USER, USER)
    mounts = {settings: "/etc/gomail/gomail.yaml", secret: "/run/secrets/token"}
    with new_container(
        tmp_path / "run",
        image,
        mounts=mounts,
        bearer_token_file="/run/secrets/token",
    ) as container:
        container.start()
        fields = {"Authorization": f"Bearer {'k7' * 16}", "Content-Type": "message/rfc822"}
        elsewhere = MESSAGE.replace(b"b@example.com", b"b@elsewhere.test")
        answers = [
            container.request("POST", "/mail/inbound", message, fields).status
            for message in (MESSAGE, elsewhere)
        ]
        assert answers == [200, 422]
        assert not (container.data_dir / "token").exists()
        assert container.gomail("check").returncode == 0
        assert container.stop() == 0


def config_map() -> dict[str, str]:
    """Return the files of the ConfigMap."""
    text = (CHECKOUT / "config" / "kubernetes.yaml").read_text(encoding="utf-8")
    [found] = [each for each in yaml.safe_load_all(text) if each["kind"] == "ConfigMap"]
    data: dict[str, str] = found["data"]
    return data
