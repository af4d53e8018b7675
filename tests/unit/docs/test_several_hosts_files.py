"""config/several-hosts/ has what docs/several-hosts.md says, with settings that GoMail takes."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from flask import Flask

from app.server.drain import CLOSE_SECONDS, TURN_AWAY_SECONDS
from app.settings import Settings, load
from app.settings.schema import is_secret, properties, variable
from app.settings.sources import STANDARD_FILES
from app.web import probes

ROOT = Path(__file__).parents[3]
CONFIG = ROOT / "config" / "several-hosts"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "several-hosts.md").read_text(encoding="utf-8")
COMPOSE_TEXT = (CONFIG / "compose.yaml").read_text(encoding="utf-8")
COMPOSE = yaml.safe_load(COMPOSE_TEXT)
SERVICES = COMPOSE["services"]
GATEWAYS = [SERVICES["gateway1"], SERVICES["gateway2"]]
NGINX = (CONFIG / "nginx.conf").read_text(encoding="utf-8")
KUBERNETES_TEXT = (CONFIG / "kubernetes.yaml").read_text(encoding="utf-8")
MANIFESTS = {
    (each["kind"], each["metadata"]["name"]): each for each in yaml.safe_load_all(KUBERNETES_TEXT)
}
DEPLOYMENT = MANIFESTS["Deployment", "gomail"]["spec"]
POD = DEPLOYMENT["template"]["spec"]
[CONTAINER] = POD["containers"]
CLUSTER = MANIFESTS["Cluster", "gomail-db"]
DATA_DIR = "/var/lib/gomail/data"
SECRETS = {
    "bearer_token": "k7" * 16,
    "api_token": "a7" * 16,
    "database_url": "postgresql://gomail:x@db1,db2/gomail?target_session_attrs=read-write",
}


def default(key: str) -> Any:
    """Return the default of a setting."""
    return properties()[key]["default"]


def with_secrets(given: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """Return variables as `given`, with each _FILE naming a file that holds such a secret."""
    files = {f"{variable(key)}_FILE": secret for key, secret in SECRETS.items()}
    assert {name for name in given if name.endswith("_FILE")} == files.keys()
    for name, secret in files.items():
        (tmp_path / name).write_text(secret, encoding="ascii")
    return given | {name: str(tmp_path / name) for name in files}


def compose_settings(gateway: dict[str, Any], tmp_path: Path) -> Settings:
    """Return what a gateway of Compose starts with, once its secrets are in place."""
    given = {name: str(value) for name, value in gateway["environment"].items()}
    return load(environ=with_secrets(given, tmp_path), config=Path("/dev/null"))


def pod_settings(tmp_path: Path) -> Settings:
    """Return what a pod starts with, once its secrets are in place."""
    given = {each["name"]: each["value"] for each in CONTAINER["env"]}
    [(name, text)] = MANIFESTS["ConfigMap", "gomail"]["data"].items()
    (tmp_path / name).write_text(text, encoding="utf-8")
    return load(environ=with_secrets(given, tmp_path), config=tmp_path / name)


@pytest.mark.parametrize("gateway", GATEWAYS, ids=["gateway1", "gateway2"])
def test_a_gateway_of_compose_starts(gateway: dict[str, Any], tmp_path: Path) -> None:
    """Each MAIL_ variable is a setting, and together they have no fault."""
    settings = compose_settings(gateway, tmp_path)
    assert settings.storage.database_url == SECRETS["database_url"]
    assert settings.rate_limit.url == "valkey://valkey"
    assert "valkey" in SERVICES
    assert settings.server.workers == 2


def test_a_pod_starts(tmp_path: Path) -> None:
    """So does each of Kubernetes, with its file of settings where GoMail looks for it."""
    settings = pod_settings(tmp_path)
    assert settings.storage.database_url == SECRETS["database_url"]
    assert settings.rate_limit.url == "valkey://gomail-valkey"
    assert ("Service", "gomail-valkey") in MANIFESTS
    places = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    [name] = MANIFESTS["ConfigMap", "gomail"]["data"]
    assert Path(places["settings"], name) in STANDARD_FILES


def test_the_gateways_differ_in_what_is_their_own_only() -> None:
    """Both have the same image, settings and secrets; a volume each."""
    one, other = ({**each, "volumes": [], "ports": []} for each in GATEWAYS)
    assert one == other
    volumes = [each["volumes"] for each in GATEWAYS]
    assert [[mount.partition(":")[2] for mount in mounts] for mounts in volumes] == [[DATA_DIR]] * 2
    assert volumes[0] != volumes[1]


def test_each_secret_is_a_mounted_file() -> None:
    """Neither file holds one: compose.yaml and kubernetes.yaml say how they are made."""
    for name, path in GATEWAYS[0]["environment"].items():
        if name.endswith("_FILE"):
            secret = path.removeprefix("/run/secrets/")
            assert is_secret(name.removeprefix("MAIL_").removesuffix("_FILE").lower())
            assert secret in GATEWAYS[0]["secrets"]
            assert COMPOSE["secrets"][secret] == {"file": f"secrets/{secret}"}
    for secret in COMPOSE["secrets"]:
        assert f"secrets/{secret}\n" in COMPOSE_TEXT
    assert "/config/several-hosts/secrets/" in (ROOT / ".gitignore").read_text().splitlines()
    assert not [kind for kind, _ in MANIFESTS if kind == "Secret"]


def test_each_secret_of_a_pod_is_mounted() -> None:
    """Tokens from the Secret that kubectl makes, the URL from the one of the operator."""
    places = {mount["name"]: mount["mountPath"] for mount in CONTAINER["volumeMounts"]}
    secrets = {each["name"]: each["secret"] for each in POD["volumes"] if "secret" in each}
    files = {each["name"]: each["value"] for each in CONTAINER["env"]}
    [command] = re.findall(r"kubectl create secret generic (\S+) (.*\n.*)\n", KUBERNETES_TEXT)
    keys = re.findall(r"--from-literal=([a-z-]+)=", command[1])
    assert secrets["tokens"]["secretName"] == command[0]
    made = {f"{places['tokens']}/{key}" for key in keys}
    assert {files["MAIL_BEARER_TOKEN_FILE"], files["MAIL_API_TOKEN_FILE"]} == made
    assert files["MAIL_DATABASE_URL_FILE"] == f"{places['database']}/uri"
    assert secrets["database"]["secretName"] == f"{CLUSTER['metadata']['name']}-app"


@pytest.mark.parametrize(
    "seconds",
    [
        pytest.param(GATEWAYS[0]["stop_grace_period"].removesuffix("s"), id="compose"),
        pytest.param(
            POD["terminationGracePeriodSeconds"]
            - int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][-1]),
            id="kubernetes",
        ),
    ],
)
def test_whoever_stops_a_gateway_waits_for_its_drain(seconds: str | int) -> None:
    """Longer than shutdown_timeout and all that comes after it, or a 200 could be cut off."""
    assert int(seconds) > default("shutdown_timeout") + TURN_AWAY_SECONDS + CLOSE_SECONDS


def test_no_outage_of_the_database_restarts_a_pod() -> None:
    """Liveness asks whether the port is open; only readiness asks for the store."""
    app = Flask("probed")
    app.register_blueprint(probes.blueprint)
    port = CONTAINER["ports"][0]["name"]
    assert CONTAINER["readinessProbe"]["httpGet"] == {"path": "/ready", "port": port}
    assert "/ready" in {rule.rule for rule in app.url_map.iter_rules()}
    for probe in ("startupProbe", "livenessProbe"):
        assert CONTAINER[probe]["tcpSocket"] == {"port": port}
        assert "httpGet" not in CONTAINER[probe]


def test_one_gateway_is_always_there() -> None:
    """Two, on different nodes; neither an upgrade nor a drained node takes both."""
    assert DEPLOYMENT["replicas"] == 2
    assert DEPLOYMENT["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    labels = DEPLOYMENT["template"]["metadata"]["labels"]
    budget = MANIFESTS["PodDisruptionBudget", "gomail"]["spec"]
    [spread] = POD["topologySpreadConstraints"]
    assert budget["minAvailable"] == 1
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["labelSelector"]["matchLabels"] == labels
    assert budget["selector"]["matchLabels"] == labels
    assert MANIFESTS["Service", "gomail"]["spec"]["selector"] == labels
    assert POD["enableServiceLinks"] is False


def test_the_ports_are_those_of_gomail() -> None:
    """Containers, services, proxy and published ports agree with the defaults."""
    port, metrics = default("port"), default("metrics_port")
    assert CONTAINER["ports"] == [
        {"name": "http", "containerPort": port},
        {"name": "metrics", "containerPort": metrics},
    ]
    assert MANIFESTS["Service", "gomail"]["spec"]["ports"] == [
        {"name": "http", "port": port, "targetPort": "http"}
    ]
    assert re.findall(r"server (\S+);", NGINX) == [f"gateway1:{port}", f"gateway2:{port}"]
    assert f"listen {port};" in NGINX
    assert SERVICES["proxy"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert [each["ports"][0].rpartition(":")[2] for each in GATEWAYS] == [str(metrics)] * 2


def test_the_proxy_is_believed() -> None:
    """Its network is trusted_proxies; it replaces the client's own header, and takes all mail."""
    [network] = COMPOSE["networks"]["default"]["ipam"]["config"]
    assert GATEWAYS[0]["environment"]["MAIL_TRUSTED_PROXIES"] == network["subnet"]
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in NGINX
    [mebibytes] = re.findall(r"client_max_body_size (\d+)m;", NGINX)
    assert int(mebibytes) * 1024**2 > default("max_message_size")


def test_the_database_has_room_for_all_connections() -> None:
    """As the page counts them, with one gateway more while an upgrade runs."""
    of_a_gateway = (2 + 3) * default("database_pool_size") + 2
    parameters = CLUSTER["spec"]["postgresql"]["parameters"]
    assert int(parameters["max_connections"]) > 3 * of_a_gateway
    assert f"max_connections={parameters['max_connections']}" in SERVICES["db1"]["command"]
    assert "hosts \u00d7 (workers + 3) \u00d7 database_pool_size" in PAGE


def test_a_commit_is_on_two_servers() -> None:
    """Compose and Kubernetes ask for a synchronous standby."""
    assert CLUSTER["spec"]["instances"] >= 3
    assert CLUSTER["spec"]["postgresql"]["synchronous"] == {"method": "any", "number": 1}
    primary = (CONFIG / "primary.sh").read_text(encoding="utf-8")
    assert "synchronous_standby_names = 'ANY 1 (db1, db2)'" in primary
    assert SERVICES["db1"]["command"] == SERVICES["db2"]["command"]


def test_both_files_use_the_same_images() -> None:
    """That of GoMail is the one that the Dockerfile makes; none is just the latest."""
    assert {each["image"] for each in GATEWAYS} == {CONTAINER["image"]} == {"gomail"}
    assert (CONFIG / GATEWAYS[0]["build"] / "Dockerfile").is_file()
    [valkey] = MANIFESTS["Deployment", "gomail-valkey"]["spec"]["template"]["spec"]["containers"]
    assert SERVICES["valkey"]["image"] == valkey["image"]
    others = {each["image"] for name, each in SERVICES.items() if not name.startswith("gateway")}
    assert all(re.fullmatch(r"[a-z/]+:[0-9][0-9a-z.-]*", image) for image in others)
    assert f'VOLUME ["{DATA_DIR}"]' in DOCKERFILE or f"VOLUME {DATA_DIR}" in DOCKERFILE


def test_the_files_that_are_mounted_exist() -> None:
    """Each path in compose.yaml that isn't a volume is a file beside it, and the page has it."""
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.partition(":")[0]
            assert (CONFIG / source).is_file() or source in COMPOSE["volumes"]
    assert {path.name for path in CONFIG.iterdir() if path.is_file()} == set(
        re.findall(r"\(\.\./config/several-hosts/([a-z.]+)\)", PAGE)
    )


def test_the_links_of_the_page_lead_somewhere() -> None:
    """To files, and in the page itself to headings; README.md leads to it."""
    links = re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", PAGE)
    assert len(links) >= 10
    for file, anchor in links:
        text = (ROOT / "docs" / file).read_text(encoding="utf-8") if file else PAGE
        headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
        anchors = {re.sub(r"[^a-z0-9 _-]", "", each.lower()).replace(" ", "-") for each in headings}
        assert not anchor or anchor in anchors, anchor
    assert "(docs/several-hosts.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_page_speaks_of_each_setting() -> None:
    """Each key of a database or an object store is in it."""
    keys = [key for key in properties() if key.startswith(("database_", "object_", "storage_"))]
    assert len(keys) == 9
    assert [key for key in keys if f"`{key}`" not in PAGE and key not in PAGE] == []
