import configparser
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from app.server.drain import CLOSE_SECONDS, TURN_AWAY_SECONDS
from app.settings import load
from app.settings.schema import is_secret, properties, variable
from app.settings.sources import STANDARD_FILES
from app.web import probes

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load((CONFIG / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = {
    manifest["kind"]: manifest
    for manifest in yaml.safe_load_all((CONFIG / "kubernetes.yaml").read_text(encoding="utf-8"))
}
POD = MANIFESTS["Deployment"]["spec"]["template"]
CONTAINER = POD["spec"]["containers"][0]
SERVICE = COMPOSE["services"]["gomail"]
STANDARD_FILE = "/etc/gomail/gomail.yaml"
OPERATIONS = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")


def unit(name: str) -> configparser.RawConfigParser:
    """Return the sections of a systemd unit."""
    parser = configparser.RawConfigParser()
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # as its documentation says
    parser.read_string((CONFIG / "systemd" / name).read_text(encoding="utf-8"))
    return parser


def instruction(name: str) -> str:
    """Return the arguments of the last instruction `name` of the Dockerfile."""
    return str(re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)[-1])


def default(key: str) -> Any:
    """Return the default of a setting."""
    return properties()[key]["default"]


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(unit("gomail.service")["Service"]["TimeoutStopSec"], id="systemd"),
        pytest.param(
            COMPOSE["services"]["gomail"]["stop_grace_period"].removesuffix("s"), id="compose"
        ),
        pytest.param(POD["spec"]["terminationGracePeriodSeconds"], id="kubernetes"),
    ],
)
def test_whoever_stops_gomail_waits_for_the_drain(seconds: str | int) -> None:
    """Longer than shutdown_timeout and all that comes after it, or a 200 could be cut off."""
    assert int(seconds) > default("shutdown_timeout") + TURN_AWAY_SECONDS + CLOSE_SECONDS
    assert f"| {seconds} s |" in OPERATIONS


def test_the_unit_starts_what_the_image_starts() -> None:
    """Same command, found from the same directory; only the master gets the signal to stop."""
    service = unit("gomail.service")["Service"]
    directory = instruction("WORKDIR")
    program, *arguments = json.loads(instruction("ENTRYPOINT"))
    assert service["WorkingDirectory"] == directory
    assert service["ExecStart"] == " ".join([f"{directory}/.venv/bin/{program}", *arguments])
    assert service["KillMode"] == "mixed"
    assert service["ExecReload"].endswith("-s HUP $MAINPID")
    assert instruction("STOPSIGNAL") == "SIGTERM"
    assert "KillSignal" not in service


def test_the_unit_can_write_where_it_stores() -> None:
    """ProtectSystem=strict leaves the state directory, and that is the data directory."""
    service = unit("gomail.service")["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["Environment"] == f"MAIL_DATA_DIR=/var/lib/{service['StateDirectory']}"


def test_the_socket_unit_listens_where_gomail_would() -> None:
    """With and without it, clients find the same address; the service is started after it."""
    assert unit("gomail.socket")["Socket"]["ListenStream"] == f"{default('host')}:{default('port')}"
    assert "gomail.socket" in unit("gomail.service")["Unit"]["After"].split()
    assert "socket" in properties()["mode"]["enum"]


@pytest.mark.parametrize(
    ("probe", "path"), [("readinessProbe", "/ready"), ("livenessProbe", "/health")]
)
def test_probes_ask_for_what_there_is(probe: str, path: str) -> None:
    """Each path is a route of GoMail, and the port has the name that the container gives it."""
    app = Flask("probed")
    app.register_blueprint(probes.blueprint)
    request = CONTAINER[probe]["httpGet"]
    assert request == {"path": path, "port": CONTAINER["ports"][0]["name"]}
    assert path in {rule.rule for rule in app.url_map.iter_rules()}
    assert f"| {path} |" in OPERATIONS


def test_no_probe_ends_a_drain() -> None:
    """/health is 503 while it drains: the liveness probe has more patience than that takes."""
    probe = CONTAINER["livenessProbe"]
    patience = probe["periodSeconds"] * probe["failureThreshold"]
    assert patience > POD["spec"]["terminationGracePeriodSeconds"]


def test_the_image_brings_the_health_check_of_compose() -> None:
    """compose.yaml has none of its own, and that of the image asks a path that exists."""
    assert "healthcheck" not in COMPOSE["services"]["gomail"]
    assert "HEALTHCHECK" in DOCKERFILE
    assert "/health'" in DOCKERFILE
    assert f"MAIL_PORT={default('port')}" in DOCKERFILE


def test_all_store_on_a_volume_at_the_place_of_the_image() -> None:
    """What is stored survives the container: mounted where the image keeps its data."""
    place = instruction("VOLUME")
    [mount] = COMPOSE["services"]["gomail"]["volumes"]
    name, _, target = mount.partition(":")
    assert name in COMPOSE["volumes"]
    assert target == place
    mounts = {mount["mountPath"]: mount["name"] for mount in CONTAINER["volumeMounts"]}
    claims = {
        volume["name"]: volume.get("persistentVolumeClaim", {}).get("claimName")
        for volume in POD["spec"]["volumes"]
    }
    assert claims[mounts[place]] == MANIFESTS["PersistentVolumeClaim"]["metadata"]["name"]
    assert POD["spec"]["securityContext"]["runAsUser"] == int(instruction("USER"))


def test_the_data_directory_has_one_server() -> None:
    """The old pod is gone before the new one mounts the volume."""
    spec = MANIFESTS["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_the_ports_lead_to_the_server() -> None:
    """Published ports, container ports and service lead to both ports of the image."""
    ports = {"http": default("port"), "metrics": default("metrics_port")}
    assert instruction("EXPOSE") == " ".join(map(str, ports.values()))
    assert SERVICE["ports"] == [f"127.0.0.1:{port}:{port}" for port in ports.values()]
    assert CONTAINER["ports"] == [
        {"name": name, "containerPort": port} for name, port in ports.items()
    ]
    service = MANIFESTS["Service"]["spec"]
    assert service["ports"] == [
        {"name": name, "port": port, "targetPort": name} for name, port in ports.items()
    ]
    assert service["selector"].items() <= POD["metadata"]["labels"].items()
    assert MANIFESTS["Deployment"]["spec"]["selector"]["matchLabels"] == service["selector"]


def test_no_service_sets_a_variable_of_gomail() -> None:
    """With service links, a Service called mail would set MAIL_PORT in the pod."""
    assert POD["spec"]["enableServiceLinks"] is False


def secret_mounts() -> Iterator[tuple[dict[str, str], str]]:
    """Return, for Compose and Kubernetes, the secrets' variables and the files with secrets."""
    for name, secret in COMPOSE["secrets"].items():
        assert name in SERVICE["secrets"]
        assert secret.keys() == {"file"}
        yield SERVICE["environment"], f"/run/secrets/{name}"
    [place] = [
        mount["mountPath"] for mount in CONTAINER["volumeMounts"] if mount["name"] == "token"
    ]
    yield {each["name"]: each["value"] for each in CONTAINER["env"]}, f"{place}/token"


@pytest.mark.parametrize(
    ("environment", "file"), list(secret_mounts()), ids=["compose", "kubernetes"]
)
def test_the_token_is_a_mounted_file(
    environment: dict[str, str], file: str, tmp_path: Path
) -> None:
    """The environment names the place where the token is mounted, and never holds it."""
    assert is_secret("bearer_token")
    name = f"{variable('bearer_token')}_FILE"
    assert environment == {name: file}
    (tmp_path / "token").write_text("k7" * 16, encoding="ascii")
    settings = load(environ={name: str(tmp_path / "token")}, config=Path("/dev/null"))
    assert settings.authentication.bearer_tokens == ("k7" * 16,)


def test_no_token_is_in_the_files() -> None:
    """Whoever uses them makes a token; its place in the checkout is in neither Git nor image."""
    assert "Secret" not in MANIFESTS
    [volume] = [volume for volume in POD["spec"]["volumes"] if volume["name"] == "token"]
    manifest = (CONFIG / "kubernetes.yaml").read_text(encoding="utf-8")
    assert f"kubectl create secret generic {volume['secret']['secretName']} " in manifest
    assert "--from-literal=token=" in manifest
    secret = Path(COMPOSE["secrets"]["token"]["file"])
    assert f"config/{secret}\n" in (CONFIG / "compose.yaml").read_text(encoding="utf-8")
    assert f"/config/{secret.parent}/" in (ROOT / ".gitignore").read_text().splitlines()


def settings_texts() -> Iterator[str]:
    """Return the text of the settings that Compose and Kubernetes mount."""
    [mount] = SERVICE["configs"]
    assert mount["target"] == STANDARD_FILE
    yield (CONFIG / COMPOSE["configs"][mount["source"]]["file"]).read_text(encoding="utf-8")
    [volume] = [volume for volume in POD["spec"]["volumes"] if volume["name"] == "settings"]
    assert volume["configMap"]["name"] == MANIFESTS["ConfigMap"]["metadata"]["name"]
    [mount] = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == "settings"]
    [(name, text)] = MANIFESTS["ConfigMap"]["data"].items()
    assert f"{mount['mountPath']}/{name}" == STANDARD_FILE
    yield text


@pytest.mark.parametrize("text", list(settings_texts()), ids=["compose", "kubernetes"])
def test_the_settings_are_mounted_where_they_are_looked_for(text: str, tmp_path: Path) -> None:
    """They are valid, and set nothing that the image's environment would overrule unnoticed."""
    assert Path(STANDARD_FILE) in STANDARD_FILES
    file = tmp_path / "gomail.yaml"
    file.write_text(text, encoding="utf-8")
    load(environ={}, config=file)
    overruled = {
        key
        for key, value in yaml.safe_load(text).items()
        if f"{variable(key)}=" in DOCKERFILE and value != default(key)
    }
    assert overruled == set()


@pytest.mark.parametrize("key", sorted(key for key in properties() if key.endswith("_timeout")))
def test_the_page_tells_each_timeout(key: str) -> None:
    """docs/operations.md has every timeout with its default."""
    assert f"| {key} | {default(key)} s |" in OPERATIONS


def test_the_page_names_only_files_that_exist() -> None:
    """Each link of docs/operations.md leads to a file, and README.md leads to the page."""
    links = re.findall(r"\]\(([^)]+)\)", OPERATIONS)
    assert len(links) >= 4
    assert all((ROOT / "docs" / link).is_file() for link in links)
    assert "(docs/operations.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_make_run_leaves_the_form_of_the_log_to_the_file(tmp_path: Path) -> None:
    """It sets a default of its own and none of the variables that outrank the file."""
    gunicorn = tmp_path / "gunicorn"
    gunicorn.write_text("#!/bin/sh\nenv | grep LOG_FORMAT\n", encoding="utf-8")
    gunicorn.chmod(0o700)
    (tmp_path / "runtime-installed").touch()
    result = subprocess.run(
        ["make", "--silent", "run", f"BIN={tmp_path}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert result.stdout == "GOMAIL_DEFAULT_LOG_FORMAT=text\n"


@pytest.mark.parametrize("file", ["Dockerfile", "Makefile", "docs/postfix.md"])
def test_all_that_pip_installs_is_pinned_by_hash(file: str) -> None:
    """GoMail itself is built from the checkout, with what is installed already: pip gets nothing.

    So each installation either compares hashes, or can't fetch anything.
    """
    text = (ROOT / file).read_text(encoding="utf-8").replace("\\\n", " ")
    installations = re.findall(r"(?:bin/pip install|\t\$\(INSTALL\)) ([^\n&]*)", text)
    assert len(installations) >= 2
    alone = {"--no-deps", "--no-build-isolation", "--editable"}
    for options in map(str.split, installations):
        assert "--require-hashes" in options or alone <= set(options)


def test_what_the_build_needs_is_what_is_pinned() -> None:
    """requirements-build.lock has the version that pyproject.toml names, with its hashes."""
    [needed] = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    lock = (ROOT / "requirements-build.lock").read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = [line.split() for line in lock.splitlines()]
    assert [first for first, *_ in pinned] == [needed]
    assert all(hashes for _, *hashes in pinned)
    assert all(each.startswith("--hash=sha256:") for _, *hashes in pinned for each in hashes)


def test_the_base_image_can_be_pinned_by_digest() -> None:
    """Both stages start from the same argument, as docs/operations.md shows."""
    stages = [line.split()[1] for line in DOCKERFILE.splitlines() if line.startswith("FROM ")]
    assert stages == ["$BASE", "$BASE"]
    assert "--build-arg BASE=" in OPERATIONS
