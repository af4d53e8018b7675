"""The database and the object store that several hosts share, as people configure them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.storage_settings import BUCKET, DATABASE, SHARED, faults, warning_lines, written

from app.settings import inspect, load

URL_LIMITS = "(allowed: postgresql:// or postgres://, and what libpq takes)"
TOKEN = "is missing, which it may not with database_url (allowed: a token, the same on all hosts)"

URLS = [
    ("db1/gomail", "does not begin with postgresql:// or postgres://"),
    ("host=db1 password=Pl4nted", "does not begin with postgresql:// or postgres://"),
    ("postgresql+psycopg://db1/gomail", "does not begin with postgresql:// or postgres://"),
    ("postgresql://a:Pl4nted\n@db1/gomail", "contains an unprintable character"),
    ("postgresql://a:Pl4nted@db1/gomail?colour=blue", "has a parameter that libpq doesn't know"),
    ("postgresql://a:Pl4nted%zz@db1/", "has a % that isn't followed by two hexadecimal digits"),
    ("postgresql://a:Pl4 nted@db1/gomail", "contains a space (write %20)"),
    ("postgresql://a:Pl4nted%00@db1/gomail", "contains %00"),
    ("postgresql://a:Pl4nted@db1/gomail?sslmode", "has a parameter without ="),
    ("postgresql://a:Pl4nted@db1/x?sslmode=a=b", "has a parameter with more than one ="),
    ("postgresql://a:Pl4nted@[::1/gomail", "is not a URI that libpq can read"),
    (
        "postgresql://a:Pl4nted/x@db1/gomail",
        "has an impossible port; a / in a password has to be written as %2F",
    ),
    (
        "postgresql://a:Pl4nted@db1:65536/gomail",
        "has an impossible port; a / in a password has to be written as %2F",
    ),
    ("postgresql://db1,db2/gomail?port=1,2,3", "has more or fewer ports than hosts"),
    (
        "postgresql://db1/gomail?connect_timeout=3",
        "sets connect_timeout, which storage_timeout does",
    ),
    (
        "postgresql://db1/gomail?tcp_user_timeout=3",
        "sets tcp_user_timeout, which storage_timeout does",
    ),
    ("postgresql://db1/x?client_encoding=LATIN1", "sets another client_encoding than UTF8"),
    (
        "postgresql://db1/gomail?target_session_attrs=standby",
        "asks for a server that can't be written to (target_session_attrs)",
    ),
]


@pytest.mark.parametrize(("url", "problem"), URLS)
def test_an_url_that_leads_nowhere_is_refused(tmp_path: Path, url: str, problem: str) -> None:
    """What is wrong is said, and nothing of it is quoted: it may hold a password."""
    inspection = inspect(None, {}, written(tmp_path, **{**SHARED, "database_url": url}))
    assert list(map(str, inspection.errors)) == [f"database_url: {problem} {URL_LIMITS}"]
    assert "Pl4nted" not in json.dumps(inspection.values)


@pytest.mark.parametrize(
    "url",
    [
        DATABASE,
        "postgres://db1/gomail",
        "postgresql:///gomail",
        "postgresql://%2Frun%2Fpostgresql/gomail",
        "postgresql://gomail@db1:5432,[::1]:5433/gomail?target_session_attrs=primary",
        "postgresql://db1,db2:5433/gomail?sslmode=verify-full&target_session_attrs=read-write",
        "postgresql://db1,db2/gomail?port=5433&target_session_attrs=read-write",
        "postgresql://db1/gomail?client_encoding=utf8&application_name=mail",
    ],
)
def test_what_libpq_takes_is_taken(tmp_path: Path, url: str) -> None:
    """Several servers, sockets, addresses and parameters reach the settings as they were given."""
    config = written(tmp_path, **{**SHARED, "database_url": url})
    assert inspect(None, {}, config).warnings == ()
    assert load(None, {}, config).storage.database_url == url


def test_one_variable_beside_the_tokens_is_enough(tmp_path: Path) -> None:
    """MAIL_DATABASE_URL switches, and so does the file that MAIL_DATABASE_URL_FILE names."""
    secret = tmp_path / "database-url"
    secret.write_text(f"{DATABASE}\n", encoding="utf-8")
    tokens = {"MAIL_BEARER_TOKEN": "k7" * 16, "MAIL_API_TOKEN": "a7" * 16}
    nothing = Path("/dev/null")
    for variable in ({"MAIL_DATABASE_URL": DATABASE}, {"MAIL_DATABASE_URL_FILE": str(secret)}):
        storage = load(None, {**tokens, **variable}, nothing).storage
        assert storage.database_url == DATABASE
        assert (storage.pool_size, storage.timeout, storage.objects) == (4, 10, None)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """The URL of the database and the secret of the bucket's key are hidden, the rest is shown."""
    inspection = inspect(None, {}, written(tmp_path, **SHARED, **BUCKET))
    assert inspection.errors == ()
    assert inspection.values["database_url"] == "***"
    assert inspection.values["object_store_secret_access_key"] == "***"
    shown = ("object_store_url", "object_store_endpoint", "object_store_access_key_id")
    assert [inspection.values[key] for key in shown] == [BUCKET[key] for key in shown]
    assert "Pl4nted" not in repr(inspection.settings)


def test_generated_tokens_are_refused(tmp_path: Path) -> None:
    """Each host would generate its own; every one that is missing is named."""
    assert faults(tmp_path, database_url=DATABASE, rate_limit_url="redis://cache/0") == [
        f"bearer_token: {TOKEN}",
        f"api_token: {TOKEN}",
    ]


def test_generated_secrets_of_endpoints_are_refused(tmp_path: Path) -> None:
    """They would differ too, and the application could verify the requests of one host only."""
    named = {"name": "support", "url": "https://app.example.com/", "recipients": ["a@example.com"]}
    assert faults(
        tmp_path, **SHARED, webhook_url="https://app.example.com/", endpoints=[named]
    ) == [
        "webhook_secret: is missing, which it may not with database_url"
        " (allowed: a secret, the same on all hosts)",
        "endpoints[0].secret_file: is missing, which it may not with database_url"
        " (allowed: a file with a secret, the same on all hosts)",
    ]
    file = tmp_path / "support.secret"
    file.write_text("whsec_" + "A" * 32, encoding="ascii")
    endpoint = named | {"secret_file": str(file)}
    webhook = {"webhook_url": "https://app.example.com/", "webhook_secret": "whsec_" + "B" * 32}
    assert faults(tmp_path, **SHARED, **webhook, endpoints=[endpoint]) == []


def test_a_bucket_needs_a_database(tmp_path: Path) -> None:
    """Rows in data_dir and bytes in a bucket are not supported."""
    assert faults(tmp_path, object_store_url="s3://gomail") == [
        "object_store_url: is set without database_url (allowed: with database_url)"
    ]


@pytest.mark.parametrize(
    "given",
    [
        {"object_store_endpoint": "http://store:8333"},
        {"object_store_access_key_id": "a", "object_store_secret_access_key": "b"},
    ],
)
def test_what_belongs_to_a_bucket_needs_one(tmp_path: Path, given: dict[str, str]) -> None:
    """Somebody who sets it thinks that the bucket is in use."""
    limits = "is set without object_store_url (allowed: with object_store_url)"
    assert faults(tmp_path, **SHARED, **given) == [f"{key}: {limits}" for key in given]


@pytest.mark.parametrize(
    ("missing", "other"),
    [
        ("object_store_access_key_id", "object_store_secret_access_key"),
        ("object_store_secret_access_key", "object_store_access_key_id"),
    ],
)
def test_half_an_access_key_is_refused(tmp_path: Path, missing: str, other: str) -> None:
    """Requests would be sent unsigned, or signed by nobody."""
    given = {key: value for key, value in BUCKET.items() if key != missing}
    assert faults(tmp_path, **SHARED, **given) == [
        f"{missing}: is missing, and {other} is set (allowed: both or neither)"
    ]


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("object_store_url", "https://gomail", "does not begin with s3://"),
        ("object_store_url", "s3://", "does not name a bucket"),
        ("object_store_url", "s3://Go_Mail", "does not name a bucket"),
        ("object_store_url", "s3://a:Pl4nted@gomail", "contains a user name or a password"),
        (
            "object_store_url",
            "s3://gomail/a b",
            "has a prefix with other characters than letters, digits and ._=-/",
        ),
        (
            "object_store_url",
            "s3://gomail/../other",
            "has a prefix with other characters than letters, digits and ._=-/",
        ),
        ("object_store_endpoint", "store:8333", "does not begin with http:// or https://"),
        ("object_store_endpoint", "http://a:Pl4nted@store", "contains a user name or a password"),
        ("object_store_endpoint", "http://store/gomail", "has a path or a query"),
        ("object_store_endpoint", "http://store:99999", "has an impossible port"),
    ],
)
def test_what_names_no_bucket_is_refused(
    tmp_path: Path, key: str, value: str, problem: str
) -> None:
    """What is wrong is said, and nothing that may be a password is quoted or shown."""
    inspection = inspect(None, {}, written(tmp_path, **SHARED, **{**BUCKET, key: value}))
    [fault] = map(str, inspection.errors)
    assert fault.startswith(f"{key}: {problem} (allowed: ")
    assert inspection.values[key] == "***" or value == "http://store/gomail"
    assert "Pl4nted" not in fault


def test_limits_of_each_host_are_warned_about(tmp_path: Path) -> None:
    """Without a shared limiter a client may send as much to each host."""
    given = {key: value for key, value in SHARED.items() if key != "rate_limit_url"}
    assert warning_lines(tmp_path, **given) == [
        "rate_limit_url: is not set: with several hosts, a client has a limit at each"
    ]


@pytest.mark.parametrize(
    ("parameters", "host"),
    [
        ("db.example.com/gomail", "db.example.com"),
        ("10.0.0.1,203.0.114.9/gomail?target_session_attrs=primary", "203.0.114.9"),
        ("db.example.com/gomail?sslmode=disable", "db.example.com"),
        ("db.example.com/gomail?sslmode=prefer", "db.example.com"),
        ("db.example.com/gomail?sslmode=require", None),
        ("db.example.com/gomail?sslmode=verify-full", None),
        ("db1.internal/gomail", None),
    ],
)
def test_mail_in_the_clear_is_warned_about(
    tmp_path: Path, parameters: str, host: str | None
) -> None:
    """libpq encrypts only if the server wants to, unless it is told otherwise."""
    found = warning_lines(tmp_path, **{**SHARED, "database_url": f"postgresql://{parameters}"})
    better = "(better: sslmode=verify-full)"
    assert found == (
        [f"database_url: may send mail to {host} unencrypted {better}"] if host else []
    )


@pytest.mark.parametrize(
    ("endpoint", "host"),
    [
        ("http://s3.example.com", "s3.example.com"),
        ("http://203.0.114.9:8333", "203.0.114.9"),
        ("https://s3.example.com", None),
        ("http://10.0.0.9:8333", None),
    ],
)
def test_a_bucket_in_the_clear_is_warned_about(
    tmp_path: Path, endpoint: str, host: str | None
) -> None:
    """As for endpoints of mail: http is for one's own network."""
    settings = {**SHARED, **BUCKET, "object_store_endpoint": endpoint}
    assert warning_lines(tmp_path, **settings) == (
        [f"object_store_endpoint: sends mail to {host} unencrypted (better: https)"] if host else []
    )


def test_who_needs_no_database_loads_no_driver() -> None:
    """It takes longer to import than all of the settings."""
    code = (
        "import sys; from pathlib import Path; from app.settings import inspect;"
        " inspect(None, {}, Path('/dev/null')); print('psycopg' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "False\n"
