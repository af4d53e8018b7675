"""Endpoints as they are configured, and as the rest of GoMail sees them."""

import json
from pathlib import Path

from support.endpoint_settings import (
    NOTHING,
    SUPPORT,
    URL,
    configured,
    endpoints,
)
from support.endpoints import SECRET, endpoint
from support.pem import CERTIFICATE, KEY

from app.settings import Endpoint, inspect, load
from app.settings.endpoints import with_defaults
from app.settings.schema import members


def test_nothing_is_sent_by_default() -> None:
    """Messages are only stored; the threads have their number all the same."""
    deliveries = load(environ={}, config=NOTHING).deliveries
    assert (deliveries.endpoints, deliveries.threads) == ((), 32)


def test_a_url_alone_is_an_endpoint_for_everything() -> None:
    """It is called webhook, has the defaults of the others, and its secret is generated."""
    deliveries = load(environ={"MAIL_WEBHOOK_URL": URL}, config=NOTHING).deliveries
    assert deliveries.endpoints == (endpoint("webhook", secrets=()),)


def test_an_endpoint_has_the_defaults_of_the_contract(tmp_path: Path) -> None:
    """Name and URL are enough."""
    assert endpoints(tmp_path, SUPPORT) == (endpoint("support", secrets=()),)


def test_every_member_of_an_endpoint_is_understood(tmp_path: Path) -> None:
    """As the contract has them, with other values than the defaults."""
    (tmp_path / "secret").write_text(SECRET)
    files = {name: tmp_path / name for name in ("ca.pem", "client.pem", "client.key")}
    for file, text in zip(files.values(), (CERTIFICATE, CERTIFICATE, KEY), strict=True):
        file.write_text(text)
    given = {
        "name": "support-2",
        "url": "https://[2606:4700::1]:8080/hook?x=1",
        "recipients": ["support@example.com", "help+*@example.com", "*@tickets.example.com"],
        "secret_file": str(tmp_path / "secret"),
        "format": "raw",
        "timeout": 60,
        "concurrency": 1,
        "ordered": True,
        "ca_file": str(files["ca.pem"]),
        "client_cert_file": str(files["client.pem"]),
        "client_key_file": str(files["client.key"]),
        "networks": "public",
    }
    (found,) = endpoints(tmp_path, given)
    assert found == endpoint(
        "support-2",
        url="https://[2606:4700::1]:8080/hook?x=1",
        recipients=("support@example.com", "help+*@example.com", "*@tickets.example.com"),
        secrets=(SECRET,),
        format="raw",
        timeout=60,
        concurrency=1,
        ordered=True,
        ca_file=files["ca.pem"],
        client_cert_file=files["client.pem"],
        client_key_file=files["client.key"],
        networks="public",
    )


def test_each_member_of_the_schema_is_a_field() -> None:
    """secret_file becomes secrets, everything else keeps its name."""
    fields = list(Endpoint.__dataclass_fields__)
    assert [name.replace("secret_file", "secrets") for name in members("endpoints")] == fields


def test_members_are_converted_as_keys_are(tmp_path: Path) -> None:
    """Words of any case, yes and no, one text for a list, and null for what isn't set."""
    yaml = tmp_path / "gomail.yaml"
    yaml.write_text(
        f"endpoints:\n- name: a\n  url: {URL}\n  ordered: Yes\n  format: RAW\n  ca_file:\n"
        "  recipients: a@example.com, x+*@example.org\n"
    )
    (found,) = load(environ={}, config=yaml).deliveries.endpoints
    assert (found.ordered, found.format, found.ca_file) == (True, "raw", None)
    assert found.recipients == ("a@example.com", "x+*@example.org")


def test_the_host_of_a_url_is_in_ascii(tmp_path: Path) -> None:
    """Whoever sends the request needs it that way; the rest stays as it is."""
    (found,) = endpoints(tmp_path, SUPPORT | {"url": "https://Bücher.example:8443/A?b=%20C"})
    assert found.url == "https://xn--bcher-kva.example:8443/A?b=%20C"


def test_the_endpoint_of_webhook_url_comes_first(tmp_path: Path) -> None:
    """Both ways can be used together."""
    config = configured(tmp_path, webhook_url=URL, endpoints=[SUPPORT])
    found = load(environ={}, config=config).deliveries.endpoints
    assert [each.name for each in found] == ["webhook", "support"]


def test_a_variable_holds_endpoints_as_json(tmp_path: Path) -> None:
    """It outranks the file as a whole, and is converted in the same way."""
    config = configured(tmp_path, endpoints=[SUPPORT])
    text = json.dumps([{"name": "other", "url": URL, "recipients": "a@b.example,c@d.example"}])
    (found,) = load(environ={"MAIL_ENDPOINTS": f" {text}\n"}, config=config).deliveries.endpoints
    assert (found.name, found.recipients) == ("other", ("a@b.example", "c@d.example"))
    assert load(environ={"MAIL_ENDPOINTS": "[]"}, config=config).deliveries.endpoints == ()


def test_threads_have_a_range() -> None:
    """At least one, and no more than a process can have."""
    assert load({"delivery_threads": 1}, {}, NOTHING).deliveries.threads == 1
    for wrong in (0, 513, "many"):
        [fault] = inspect({"delivery_threads": wrong}, {}, NOTHING).errors
        assert fault.key == "delivery_threads"


def test_endpoints_are_shown_with_their_defaults_and_without_secrets(tmp_path: Path) -> None:
    """What is in the query of a URL may give access, as a secret does."""
    (tmp_path / "secret").write_text(SECRET)
    given = SUPPORT | {"url": f"{URL}?key=Pl4nted", "secret_file": str(tmp_path / "secret")}
    config = configured(
        tmp_path, webhook_url=f"{URL}?key=Pl4nted", webhook_secret=SECRET, endpoints=[given]
    )
    inspection = inspect(None, {}, config)
    assert inspection.settings is not None
    values = inspection.values
    assert (values["webhook_url"], values["webhook_secret"]) == (f"{URL}?***", "***")
    assert values["endpoints"] == [with_defaults(given | {"url": f"{URL}?***"})]
    assert list(values["endpoints"][0]) == [
        *("name", "url", "recipients", "secret_file", "format", "timeout", "concurrency"),
        *("ordered", "networks"),
    ]
    shown = f"{inspection}{inspection.settings}{json.dumps(values)}"
    assert SECRET not in shown
    assert "Pl4nted" not in shown
