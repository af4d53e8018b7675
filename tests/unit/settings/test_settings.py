import dataclasses
import json
import os
import re
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, cast

import pytest

from app.settings import Deliveries, InvalidSettings, Settings, inspect, load
from app.settings.model import ObjectStore
from app.settings.schema import defaults, flag, has_flag, members, properties, schema, variable

GOOD_TOKEN = "k7" * 16
NOTHING = Path("/dev/null")


def faults(
    config: Path | None = NOTHING,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> list[str]:
    """The fault lines of a configuration, as an operator sees them."""
    return [str(fault) for fault in inspect(flags, environ or {}, config).errors]


def written(tmp_path: Path, text: str, name: str = "gomail.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


def test_defaults_are_those_of_the_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An empty file gives every default, and a data directory below the working directory."""
    monkeypatch.chdir(tmp_path)
    settings = load(environ={}, config=NOTHING)
    assert (settings.server.host, settings.server.port, settings.server.threads) == (
        "127.0.0.1",
        3000,
        8,
    )
    assert settings.server.workers == max(2, len(os.sched_getaffinity(0)))
    assert settings.server.shutdown_timeout == 30
    assert settings.storage.data_dir == tmp_path.resolve() / "data"
    assert settings.authentication.bearer_tokens == ()
    assert settings.authentication.api_tokens == ()
    assert settings.mail.max_message_size == 26214400
    assert settings.mail.hostname is None
    assert (settings.rate_limit.per_minute, settings.rate_limit.burst) == (60, 10)
    assert settings.rate_limit.api_per_minute == 600
    assert settings.rate_limit.trusted_proxies == (ip_network("127.0.0.0/8"), ip_network("::1"))
    assert (settings.inbox.enabled, settings.inbox.allowed_hosts) == (True, ())
    assert settings.metrics.enabled is True
    assert (settings.metrics.port, settings.metrics.path) == (9090, "/metrics")
    assert (settings.logging.level, settings.logging.format) == ("info", "json")


def test_each_key_reaches_exactly_one_field() -> None:
    """A key that no part of the settings takes, or that two take, would be a mistake."""
    taken = [
        each.metadata.get("key", each.name)
        for part in dataclasses.fields(Settings)
        for each in dataclasses.fields(cast("type[Any]", part.type))
        if part.type is not Deliveries
    ]
    taken.remove("objects")
    taken += [each.metadata["key"] for each in dataclasses.fields(ObjectStore)]
    # Endpoints are made of three keys, see test_endpoint_settings.py.
    deliveries = ["webhook_url", "webhook_secret", "endpoints", "delivery_threads"]
    assert sorted([*taken, *deliveries]) == sorted(properties())


def test_each_key_is_described_for_operators() -> None:
    """Each key has a description in sentences, and its default obeys its own range."""
    for key, known in [*properties().items(), *members("endpoints").items()]:
        assert known["description"].endswith("."), key
        assert "default" in known or "x-default" in known or "examples" in known, key
    assert faults() == []


def test_precedence_is_flag_then_variable_then_file_then_default(tmp_path: Path) -> None:
    """Each source wins over those after it, key by key."""
    config = written(tmp_path, "port: 1001\nthreads: 3\nworkers: 3\n")
    environ = {"MAIL_PORT": "1002", "MAIL_THREADS": "4"}
    server = load({"port": "1003"}, environ, config).server
    assert (server.port, server.threads, server.workers, server.shutdown_timeout) == (
        1003,
        4,
        3,
        30,
    )


def test_the_file_is_the_named_one_then_mail_config_then_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--config wins over MAIL_CONFIG, and that over ./gomail.yaml."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "port: 1001\n")
    second = written(tmp_path, "port: 1002\n", "second.yaml")
    third = written(tmp_path, "port: 1003\n", "third.yaml")
    assert load(environ={}).server.port == 1001
    assert load(environ={"MAIL_CONFIG": str(second)}).server.port == 1002
    assert load(environ={"MAIL_CONFIG": str(second)}, config=third).server.port == 1003
    assert load(environ={"MAIL_CONFIG": ""}).server.port == 1001


@pytest.mark.parametrize("name", ["gomail.json", "gomail.yaml"])
def test_json_and_yaml_give_the_same(tmp_path: Path, name: str) -> None:
    """A JSON file is read under either name."""
    config = written(tmp_path, '{"port": 8080, "blocked_domains": ["spam.example"]}', name)
    settings = load(environ={}, config=config)
    assert settings.server.port == 8080
    assert settings.mail.blocked_domains == {"spam.example"}


def test_json_may_be_indented_with_tabs(tmp_path: Path) -> None:
    """Tabs are fine in JSON, though YAML refuses them."""
    config = written(tmp_path, '{\n\t"port": 8080\n}', "gomail.json")
    assert load(environ={}, config=config).server.port == 8080


def test_text_becomes_the_type_of_the_key() -> None:
    """Variables and flags hold text and go through the same conversions."""
    texts = {
        "port": " 8080 ",
        "metrics_enabled": "No",
        "blocked_domains": "Spam.Example., other.example ,",
        "trusted_proxies": ",",
        "bearer_token": f"{GOOD_TOKEN},{GOOD_TOKEN}2",
    }
    by_variable = load(environ={variable(key): text for key, text in texts.items()}, config=NOTHING)
    assert by_variable == load(flags=texts, environ={}, config=NOTHING)
    assert by_variable.server.port == 8080
    assert by_variable.metrics.enabled is False
    assert by_variable.mail.blocked_domains == {"spam.example", "other.example"}
    assert by_variable.rate_limit.trusted_proxies == ()
    assert by_variable.authentication.bearer_tokens == (GOOD_TOKEN, f"{GOOD_TOKEN}2")


def test_what_is_empty_counts_as_unset(tmp_path: Path) -> None:
    """An empty variable, an empty flag and a null in the file leave the next source its say."""
    config = written(tmp_path, "port: 1001\nthreads:\n")
    server = load({"port": "", "host": None}, {"MAIL_PORT": ""}, config).server
    assert (server.port, server.threads, server.host) == (1001, 8, "127.0.0.1")


def test_a_single_token_and_a_list_of_tokens_are_both_valid(tmp_path: Path) -> None:
    """Rotation: every token of a list counts."""
    one = load(environ={"MAIL_BEARER_TOKEN": GOOD_TOKEN}, config=NOTHING)
    assert one.authentication.bearer_tokens == (GOOD_TOKEN,)
    config = written(tmp_path, f"bearer_token: [{GOOD_TOKEN}, 'ünïcödé,{GOOD_TOKEN}']\n")
    assert load(environ={}, config=config).authentication.bearer_tokens == (
        GOOD_TOKEN,
        f"ünïcödé,{GOOD_TOKEN}",
    )


def test_api_tokens_are_set_like_bearer_tokens(tmp_path: Path) -> None:
    """By variable, flag, list and file; one kind doesn't count as the other."""
    secret = written(tmp_path, f"{GOOD_TOKEN}\n", "api-token")
    config = written(tmp_path, f"api_token: [{GOOD_TOKEN}, {GOOD_TOKEN}2]\n")
    for found, tokens in (
        (load({"api_token": GOOD_TOKEN}, {}, NOTHING), (GOOD_TOKEN,)),
        (load(environ={"MAIL_API_TOKEN_FILE": str(secret)}, config=NOTHING), (GOOD_TOKEN,)),
        (load(environ={}, config=config), (GOOD_TOKEN, f"{GOOD_TOKEN}2")),
    ):
        assert found.authentication.api_tokens == tokens
        assert found.authentication.bearer_tokens == ()


def test_no_token_is_of_both_kinds(tmp_path: Path) -> None:
    """Or a client meant only to deliver could also read. The fault doesn't reveal the token."""
    config = written(
        tmp_path,
        f"bearer_token: [{GOOD_TOKEN}1, {GOOD_TOKEN}2]\napi_token: [{GOOD_TOKEN}, {GOOD_TOKEN}2]\n",
    )
    assert faults(config) == [
        "api_token: item 2: is also a bearer_token (allowed: a different token)"
    ]
    same = {"MAIL_BEARER_TOKEN": GOOD_TOKEN, "MAIL_API_TOKEN": GOOD_TOKEN}
    assert faults(environ=same) == [
        "api_token: is also a bearer_token (allowed: a different token); set by MAIL_API_TOKEN"
    ]


def test_a_secret_is_read_from_the_file_that_a_variable_names(tmp_path: Path) -> None:
    """MAIL_BEARER_TOKEN_FILE gives the file's text without the newline at its end."""
    secret = written(tmp_path, f"{GOOD_TOKEN}\n", "token")
    environ = {"MAIL_BEARER_TOKEN_FILE": str(secret)}
    assert load(environ=environ, config=NOTHING).authentication.bearer_tokens == (GOOD_TOKEN,)


def test_faults_of_secret_files_are_named(tmp_path: Path) -> None:
    """A missing file, an empty file and two sources for one secret are faults of the key."""
    empty = written(tmp_path, "\n", "empty")
    missing = tmp_path / "missing"
    assert faults(environ={"MAIL_BEARER_TOKEN_FILE": str(missing)}) == [
        f"bearer_token: MAIL_BEARER_TOKEN_FILE: {missing} does not exist"
    ]
    assert faults(environ={"MAIL_BEARER_TOKEN_FILE": str(empty)}) == [
        f"bearer_token: MAIL_BEARER_TOKEN_FILE: {empty} is empty"
    ]
    both = {"MAIL_BEARER_TOKEN": GOOD_TOKEN, "MAIL_BEARER_TOKEN_FILE": str(empty)}
    assert "both MAIL_BEARER_TOKEN and MAIL_BEARER_TOKEN_FILE" in faults(environ=both)[0]


def test_only_secrets_are_read_from_files_of_their_own() -> None:
    """MAIL_PORT_FILE is not a variable, and a warning says why."""
    inspection = inspect(environ={"MAIL_PORT_FILE": "/x"}, config=NOTHING)
    assert inspection.errors == ()
    assert [str(warning) for warning in inspection.warnings] == [
        "MAIL_PORT_FILE: is unknown and ignored: only a secret can be in a file of its own"
    ]


def test_unknown_keys_name_the_nearest_known_one(tmp_path: Path) -> None:
    """A typing error is caught in the file, in the environment and among the flags."""
    config = written(tmp_path, "prot: 3000\n")
    assert faults(config, {"MAIL_WORKER": "2", "MAILTO": "root"}, {"thread": 1}) == [
        "thread: is unknown (nearest: threads)",
        "MAIL_WORKER: is unknown (nearest: MAIL_WORKERS)",
        "prot: is unknown (nearest: port)",
    ]


def test_every_fault_is_reported(tmp_path: Path) -> None:
    """All faults come at once, in load's exception as in the inspection."""
    config = written(tmp_path, "port: -1\nthreads: many\nlog_level: loud\nprot: 1\n")
    with pytest.raises(InvalidSettings) as caught:
        load(environ={"MAIL_WORKERS": "0"}, config=config)
    assert [fault.key for fault in caught.value.faults] == [
        "prot",
        "port",
        "workers",
        "threads",
        "log_level",
    ]
    assert str(caught.value).count("\n") == 4


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("port: -1", "port: -1 is below the minimum (allowed: 1 to 65535)"),
        ("port: 65536", "port: 65536 is above the maximum (allowed: 1 to 65535)"),
        ('port: "3000"', 'port: "3000" is text, not a whole number (allowed: 1 to 65535)'),
        ("port: 3000.0", "port: 3000.0 is a number, not a whole number (allowed: 1 to 65535)"),
        ("port: true", "port: true is a boolean, not a whole number (allowed: 1 to 65535)"),
        ("port: [1]", "port: [1] is a list, not a whole number (allowed: 1 to 65535)"),
        ("port: {a: 1}", "port: is a value of the wrong kind (allowed: 1 to 65535)"),
        ("port: .nan", "port: is a value of the wrong kind (allowed: 1 to 65535)"),
        (f"port: 0x{'f' * 9999}", "port: is a value of the wrong kind (allowed: 1 to 65535)"),
        (
            "port: 2024-02-30",
            'port: "2024-02-30" is text, not a whole number (allowed: 1 to 65535)',
        ),
        ("metrics_enabled: 1", "metrics_enabled: 1 is a number, not true or false"),
        (
            "log_level: true",
            "log_level: true is a boolean, not text (allowed: debug, info, warning, error)",
        ),
        (
            "log_level: off",
            'log_level: "off" is not one of the values (allowed: debug, info, warning, error)',
        ),
        ("log_format: xml", 'log_format: "xml" is not one of the values (allowed: json, text)'),
        (
            "trusted_proxies: [10.0.0.1/8]",
            'trusted_proxies: item 1: "10.0.0.1/8" has host bits set; did you mean 10.0.0.0/8? '
            "(allowed: an IP address or a network in CIDR form, such as 10.0.0.0/8)",
        ),
        (
            "bearer_token: 123456789",
            "bearer_token: is a number, not text or a list "
            "(allowed: at least 8 printable characters, no spaces, not a well-known word)",
        ),
        (
            f"bearer_token: [{GOOD_TOKEN}, weak]",
            "bearer_token: item 2: is shorter than 8 characters "
            "(allowed: at least 8 printable characters, no spaces, not a well-known word)",
        ),
    ],
)
def test_a_fault_says_what_is_wrong_and_what_is_allowed(
    tmp_path: Path, text: str, line: str
) -> None:
    """Each kind of fault reads `key: what is wrong (allowed)`."""
    assert line in faults(written(tmp_path, text))


def test_a_fault_of_the_environment_names_its_variable(tmp_path: Path) -> None:
    """Whoever looks for it in the file finds another value there."""
    file = written(tmp_path, "port: 3001")
    [line] = faults(file, environ={"MAIL_PORT": "99999"})
    assert line.startswith("port: 99999 is above the maximum (allowed: 1 to 65535)")
    assert line.endswith("; set by MAIL_PORT")
    [line] = faults(file, environ={"MAIL_PORT": "99999"}, flags={"port": 0})
    assert "MAIL_PORT" not in line


@pytest.mark.parametrize("service", ["MAIL", "MAIL_METRICS"])
def test_variables_of_a_kubernetes_service_are_named_as_such(service: str) -> None:
    """A Service called mail sets MAIL_PORT and others; each line says how to be rid of them."""
    address = "tcp://10.0.0.1:3000"
    links = {f"{service}_PORT": address} | {
        f"{service}_{name}": value
        for name, value in {
            "SERVICE_HOST": "10.0.0.1",
            "SERVICE_PORT": "3000",
            "SERVICE_PORT_HTTP": "3000",
            "PORT_3000_TCP": address,
            "PORT_3000_TCP_PROTO": "tcp",
            "PORT_3000_TCP_PORT": "3000",
            "PORT_3000_TCP_ADDR": "10.0.0.1",
        }.items()
    }
    inspection = inspect(environ=links, config=NOTHING)
    key = f"{service}_PORT".removeprefix("MAIL_").lower()
    link = "looks like a Kubernetes service link: set enableServiceLinks: false"
    assert [str(error) for error in inspection.errors] == [
        f'{key}: "{address}" is text, not a whole number (allowed: 1 to 65535);'
        f" set by {service}_PORT, which {link}"
    ]
    warnings = [str(warning) for warning in inspection.warnings]
    assert len(warnings) == len(links) - 1
    assert f"{service}_SERVICE_HOST: is unknown and ignored; it {link}" in warnings
    assert all(warning.endswith(link) for warning in warnings)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("port: 1\nport: 2\nport: 3\n", "port: is given 3 times"),
        ("port: 1\n  threads: [\n", "is not valid YAML at line 2, column 10: mapping values"),
        ("1: 2\n? 0x%s\n: 3\n" % ("f" * 9999), "config: a key is not text"),
        ("- port\n", "not a mapping"),
        ("just text", "not a mapping"),
        ("port: !!int 0x_\n", "contains a value that can't be read as YAML"),
        ("port: !!bool perhaps\n", "contains a value that can't be read as YAML"),
        ("a: 1\n---\nb: 2\n", "is not valid YAML"),
        ("[" * 100_000, "contains a value that can't be read as YAML"),
        ("port: \x07", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_clear_fault(
    tmp_path: Path, text: str, part: str
) -> None:
    """What can't be read is told with its place, and never ends in a traceback."""
    [line] = faults(written(tmp_path, text))
    assert part in line


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('{"port": 1, "port": 2}', "port: is given 2 times"),
        ('{"port": 1,\n,}', "is not valid JSON at line 2, column 1"),
        ("[]", "not a mapping"),
        ("[" * 100_000, "contains a value that can't be read"),
    ],
)
def test_a_json_file_that_is_no_configuration_is_one_clear_fault(
    tmp_path: Path, text: str, part: str
) -> None:
    """JSON has the same faults."""
    [line] = faults(written(tmp_path, text, "gomail.json"))
    assert part in line


def test_a_named_file_must_be_there_and_readable(tmp_path: Path) -> None:
    """Neither a missing file nor a directory nor binary data passes for an empty configuration."""
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00")
    missing = tmp_path / "missing"
    assert faults(missing) == [f"config: {missing} does not exist"]
    assert faults(None, {"MAIL_CONFIG": str(missing)}) == [f"config: {missing} does not exist"]
    assert faults(tmp_path) == [f"config: {tmp_path} can't be read: Is a directory"]
    assert faults(binary) == [f"config: {binary} is not UTF-8 text"]
    assert faults(Path("a\0b")) == ["config: a\0b can't be read"]


@pytest.mark.parametrize(
    "directory",
    [
        *("/", "/.", "/etc", "/etc/gomail", "/usr/local/gomail", "/bin", "/proc/self"),
        *("/dev/shm/x", "/root", "/var", "/var/lib", "//etc", "/tmp", "/srv/../etc", "a\0b"),
    ],
)
def test_system_directories_are_refused(directory: str) -> None:
    """The data directory is never one that belongs to the system."""
    [line] = faults(flags={"data_dir": directory})
    assert line.startswith("data_dir: ")


def test_a_link_to_a_system_directory_is_refused(tmp_path: Path) -> None:
    """What counts is where a path leads."""
    (tmp_path / "link").symlink_to("/etc")
    [line] = faults(flags={"data_dir": str(tmp_path / "link" / "gomail")})
    assert "is a system directory" in line


@pytest.mark.parametrize("directory", ["/var/lib/gomail", "/tmp/x", "/data", "/home/gomail/data"])
def test_directories_of_ones_own_are_taken(directory: str) -> None:
    """A directory beside or below those of the system is fine."""
    settings = load({"data_dir": directory}, {}, NOTHING)
    assert settings.storage.data_dir == Path(directory)


@pytest.mark.parametrize(
    "token",
    [
        *("weak", "1234567", "password", "CHANGEME", "12345678", "aaaaaaaaaaaa", "with a space"),
        *("with\ttab-inside", "bell\x07bell\x07", "no-break\u00a0space", "byte\udcffbyte"),
    ],
)
def test_weak_and_unusable_tokens_are_refused(token: str) -> None:
    """A token that would be guessed first, or can't stand in a header, is one fault."""
    [line] = faults(flags={"bearer_token": token})
    assert line.startswith("bearer_token: ")
    assert token not in line


def test_a_short_token_is_valid_with_a_warning() -> None:
    """Between 8 and 31 characters there is a warning, from 32 on none."""
    short = inspect({"bearer_token": "test-token"}, {}, NOTHING)
    assert short.settings is not None
    assert [str(fault) for fault in short.warnings] == [
        "bearer_token: is shorter than 32 characters"
    ]
    assert inspect({"bearer_token": "k7" * 15 + "x"}, {}, NOTHING).warnings
    assert not inspect({"bearer_token": GOOD_TOKEN}, {}, NOTHING).warnings


def test_a_token_in_a_file_that_everyone_can_read_is_a_warning(tmp_path: Path) -> None:
    """The mode is named; a file without a token, or one that only a group reads, is fine."""
    config = written(tmp_path, f"bearer_token: {GOOD_TOKEN}\n")
    config.chmod(0o644)
    [warning] = inspect(None, {}, config).warnings
    assert "mode 0644" in warning.message
    config.chmod(0o640)
    assert not inspect(None, {}, config).warnings
    public = written(tmp_path, "port: 8080\n", "public.yaml")
    public.chmod(0o644)
    assert not inspect(None, {}, public).warnings


@pytest.mark.parametrize(
    "name", ["a b", "-a.example", "a..b", "*.example.com", "1.2.3.4", "a" * 64]
)
def test_names_that_are_no_domains_are_refused(name: str) -> None:
    """Wildcards, addresses and malformed names are refused wherever a domain is expected."""
    lines = faults(flags={"primary_domain": name, "blocked_domains": [name]})
    assert [line.split(":")[0] for line in lines] == ["primary_domain", "blocked_domains"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "::1", "localhost", "mail.example.com"])
def test_addresses_and_names_are_hosts(host: str) -> None:
    """Both families of addresses, and names, can be listened on."""
    assert load({"host": host}, {}, NOTHING).server.host == host


@pytest.mark.parametrize("path", ["metrics", "", "/a b", "/a?b", "/a#b", "/a\n"])
def test_a_metrics_path_is_a_path(path: str, tmp_path: Path) -> None:
    """It begins with a slash and has neither spaces nor a query."""
    config = written(tmp_path, f"metrics_path: {json.dumps(path)}")
    assert [fault.key for fault in inspect(None, {}, config).errors] == ["metrics_path"]


@pytest.mark.parametrize(
    ("host", "metrics_host", "enabled", "clash"),
    [
        ("127.0.0.1", "127.0.0.1", True, True),
        ("0.0.0.0", "127.0.0.1", True, True),
        ("127.0.0.1", "localhost", True, True),
        ("127.0.0.1", "127.0.0.2", True, False),
        ("127.0.0.1", "127.0.0.1", False, False),
    ],
)
def test_the_two_ports_must_differ_on_the_same_host(
    host: str, metrics_host: str, enabled: bool, clash: bool
) -> None:
    """Two servers can't listen at the same place, unless one of them is off."""
    flags = {"host": host, "metrics_host": metrics_host, "metrics_enabled": enabled}
    keys = [fault.key for fault in inspect(flags | {"metrics_port": 3000}, {}, NOTHING).errors]
    assert keys == (["metrics_port"] if clash else [])


@pytest.mark.parametrize(("most", "message"), [(1023, 1024), (25, 26214400)])
def test_what_is_kept_has_room_for_a_message(most: int, message: int) -> None:
    """Where a unit was forgotten nothing starts, instead of deleting everything."""
    flags = {"retention_max_bytes": most, "max_message_size": message}
    [fault] = inspect(flags, {}, NOTHING).errors
    assert str(fault) == (
        f"retention_max_bytes: {most} is below max_message_size (allowed: 0, or at least {message})"
    )
    for enough in (0, message):
        assert inspect(flags | {"retention_max_bytes": enough}, {}, NOTHING).errors == ()


@pytest.mark.parametrize("key", ["retention_days", "retention_max_bytes", "deduplication_days"])
def test_nothing_is_kept_for_less_than_no_time(key: str) -> None:
    """A negative number would delete what comes."""
    assert [fault.key for fault in inspect({key: -1}, {}, NOTHING).errors] == [key]


def test_the_example_file_is_complete_valid_and_holds_the_defaults() -> None:
    """A copy of the example changes nothing until it is edited."""
    path = Path(__file__).parents[3] / "config" / "gomail.example.yaml"
    named = re.findall(r"^(?:# )?([a-z_]+):(?= )", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert [key for key in named if key in properties()] == list(properties())
    inspection = inspect(None, {}, path)
    assert inspection.errors == inspection.warnings == ()
    assert inspection.values == defaults() | {"data_dir": str(Path("data").absolute())}


def test_the_schema_is_a_schema_and_names_are_unique() -> None:
    """Flags and variables follow from the keys without a clash."""
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert len({flag(key) for key in properties()}) == len(properties())
    assert [key for key in properties() if not has_flag(key)] == ["endpoints"]
    assert flag("bearer_token") == "--token"
    assert flag("data_dir") == "--data-dir"
