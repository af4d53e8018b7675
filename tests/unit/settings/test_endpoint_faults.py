"""What can be wrong with the list of endpoints, and where it says so."""

import json
from pathlib import Path

import pytest
from support.endpoint_settings import (
    NOTHING,
    SUPPORT,
    URL,
    configured,
    endpoints,
    faults,
)
from support.endpoints import SECRET

from app.settings import inspect


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            '[{"name"',
            "endpoints: is not valid JSON at line 1, column 9: Expecting ':' delimiter"
            " (allowed: a list of mappings, each with name and url, as JSON)",
        ),
        (
            f"{{}}{URL}",
            "endpoints: is not valid JSON at line 1, column 3: Extra data"
            " (allowed: a list of mappings, each with name and url, as JSON)",
        ),
        (
            '{"name": "a"}',
            "endpoints: is a mapping, not a list (allowed: a list of mappings, each with name and"
            " url)",
        ),
        ("null", "endpoints: is empty, not a list"),
        (f'[{{"name": "a", "url": "{URL}", "name": "b"}}]', "endpoints[0].name: is given 2 times"),
        (f'[{{"name": "a", "url": "{URL}", "timeout": 1}}]', "endpoints[0].timeout: 1 is below"),
    ],
)
def test_a_fault_in_the_variable_names_it(text: str, line: str) -> None:
    """Whoever looks in the file finds nothing."""
    [fault] = inspect(environ={"MAIL_ENDPOINTS": text}, config=NOTHING).errors
    assert str(fault).startswith(line)
    assert str(fault).endswith("; set by MAIL_ENDPOINTS")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"timeout": 4}, "timeout: 4 is below the minimum (allowed: 5 to 60)"),
        ({"timeout": 61}, "timeout: 61 is above the maximum (allowed: 5 to 60)"),
        ({"timeout": "30s"}, 'timeout: "30s" is text, not a whole number (allowed: 5 to 60)'),
        ({"timeout": [5]}, "timeout: [5] is a list, not a whole number (allowed: 5 to 60)"),
        ({"timeout": {"a": 1}}, "timeout: is a value of the wrong kind (allowed: 5 to 60)"),
        ({"concurrency": 0}, "concurrency: 0 is below the minimum (allowed: 1 to 256)"),
        ({"format": "xml"}, 'format: "xml" is not one of the values (allowed: message, raw)'),
        ({"networks": "all"}, 'networks: "all" is not one of the values (allowed: any, public)'),
        ({"ordered": "maybe"}, 'ordered: "maybe" is text, not true or false'),
        ({"timeot": 5}, "timeot: is unknown (nearest: timeout)"),
        ({"secret": SECRET}, "secret: is unknown (nearest: secret_file)"),
        ({"recipient": "a@b.example"}, "recipient: is unknown (nearest: recipients)"),
        (
            {"colour": "blue"},
            "colour: is unknown (allowed: name, url, recipients, secret_file, format, timeout,"
            " concurrency, ordered, ca_file, client_cert_file, client_key_file, networks)",
        ),
        (
            {"recipients": []},
            "recipients: [] is an empty list (allowed: an address, whose local part may end with a"
            " star, or a star alone)",
        ),
        (
            {"recipients": 5},
            "recipients: 5 is a number, not a list (allowed: a list, each item an address, whose"
            " local part may end with a star, or a star alone)",
        ),
        ({"client_key_file": "/dev/null"}, "client_key_file: is set without client_cert_file"),
        ({"ca_file": "/nowhere/ca.pem"}, "ca_file: /nowhere/ca.pem does not exist"),
        ({"ca_file": "/dev/null"}, "ca_file: /dev/null holds no certificate in PEM format"),
        ({"ca_file": "/"}, "ca_file: / can't be read: Is a directory"),
        ({"client_cert_file": "/nowhere/c"}, "client_cert_file: /nowhere/c does not exist"),
        (
            {"client_cert_file": "/dev/null"},
            "client_cert_file: /dev/null, with its key in the same file, can't be used"
            " (allowed: PEM, with an unencrypted key)",
        ),
    ],
)
def test_a_fault_of_a_member_says_where_it_is(
    tmp_path: Path, change: dict[str, object], line: str
) -> None:
    """It is the only one, and is told with its place in the list, which counts from 0."""
    [fault] = faults(tmp_path, {"name": "first", "url": URL}, SUPPORT | change)
    assert fault.startswith(f"endpoints[1].{line}")


@pytest.mark.parametrize("name", ["", "Support", "a b", "a.b", "a_b", "ä", "a\n", "a" * 64, "a/b"])
def test_a_name_is_safe_in_a_path_and_a_label(tmp_path: Path, name: str) -> None:
    """It is the name of a file, and a value that Prometheus keeps."""
    [fault] = faults(tmp_path, {"name": name, "url": URL})
    assert fault.startswith(f"endpoints[0].name: {json.dumps(name, ensure_ascii=False)} is not")
    assert fault.endswith("(allowed: 1 to 63 lower-case letters, digits and hyphens)")


@pytest.mark.parametrize("name", ["a", "0", "a-b-1", "a" * 63])
def test_a_name_has_letters_digits_and_hyphens(tmp_path: Path, name: str) -> None:
    """As the contract has it."""
    assert [each.name for each in endpoints(tmp_path, SUPPORT | {"name": name})] == [name]


def test_two_endpoints_do_not_have_one_name(tmp_path: Path) -> None:
    """Deliveries belong to the name; webhook is taken while there is a webhook_url."""
    webhook = {"name": "webhook", "url": URL}
    assert faults(tmp_path, SUPPORT, webhook, SUPPORT, SUPPORT, webhook_url=URL) == [
        'endpoints[1].name: "webhook" is the name of the endpoint of webhook_url, too'
        " (allowed: another)",
        'endpoints[2].name: "support" is the name of endpoints[0], too (allowed: another)',
        'endpoints[3].name: "support" is the name of endpoints[0], too (allowed: another)',
    ]
    assert faults(tmp_path, SUPPORT, webhook) == []


@pytest.mark.parametrize("member", ["name", "url"])
def test_name_and_url_must_be_there(tmp_path: Path, member: str) -> None:
    """Also when they are null, and the other one's place is told as well."""
    without = {name: value for name, value in SUPPORT.items() if name != member}
    for given in (without, without | {member: None}):
        [fault] = faults(tmp_path, given)
        assert fault.startswith(f"endpoints[0].{member}: is missing (allowed: ")


@pytest.mark.parametrize(
    ("item", "kind"),
    [("text", "text"), (URL, "text"), (5, "a number"), (None, "empty"), ([SUPPORT], "a list")],
)
def test_an_item_that_is_no_mapping_is_refused(tmp_path: Path, item: object, kind: str) -> None:
    """The others are checked all the same."""
    first, second = faults(tmp_path, item, SUPPORT | {"timeout": 1})
    assert first.startswith(f"endpoints[0]: is {kind}, not a mapping (allowed: name, url, ")
    assert second.startswith("endpoints[1].timeout: ")


@pytest.mark.parametrize("value", ["text", 5, True, SUPPORT])
def test_endpoints_that_are_no_list_are_refused(tmp_path: Path, value: object) -> None:
    """A mapping, too, since its keys would be names."""
    config = configured(tmp_path, endpoints=value)
    [fault] = inspect(None, {}, config).errors
    assert fault.message.endswith(
        ", not a list (allowed: a list of mappings, each with name and url)"
    )


@pytest.mark.parametrize("suffix", ["json", "yaml"])
def test_a_member_that_is_given_twice_is_a_fault(tmp_path: Path, suffix: str) -> None:
    """The second one would win unseen."""
    config = tmp_path / f"gomail.{suffix}"
    config.write_text(
        f'{{"endpoints": [{{"name": "a", "url": "{URL}"}},'
        f' {{"name": "b", "url": "http://x", "url": "{URL}", "url": "{URL}"}}]}}'
    )
    assert [str(fault) for fault in inspect(None, {}, config).errors] == [
        "endpoints[1].url: is given 3 times"
    ]


def test_yaml_that_refers_to_itself_ends_in_faults(tmp_path: Path) -> None:
    """Neither an endless walk nor a traceback."""
    config = tmp_path / "gomail.yaml"
    config.write_text("endpoints: &a [*a, &b {name: *b, url: *a, recipients: *a, 1: 2}]\n")
    inspection = inspect(None, {}, config)
    keys = [fault.key for fault in inspection.errors]
    assert keys == [
        "endpoints[0]",
        *("endpoints[1]", "endpoints[1].name", "endpoints[1].url", "endpoints[1].recipients"),
    ]
    json.dumps(inspection.values)


def test_every_fault_of_every_endpoint_is_told_in_order(tmp_path: Path) -> None:
    """Those of the first endpoint come first, and those of other keys where the schema has them."""
    found = faults(
        tmp_path,
        {"name": "a", "url": "x", "secret_file": "/nowhere"},
        {"name": "a", "url": URL, "timeout": 1, "client_key_file": "/dev/null"},
        webhook_url="y",
        delivery_threads=0,
        port=0,
        retention_days=-1,
    )
    assert [fault.split(": ")[0] for fault in found] == [
        *("port", "webhook_url", "endpoints[0].url", "endpoints[0].secret_file"),
        *("endpoints[1].timeout", "endpoints[1].name", "endpoints[1].client_key_file"),
        *("delivery_threads", "retention_days"),
    ]
