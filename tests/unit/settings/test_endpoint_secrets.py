"""The secrets of endpoints, in the configuration and in files."""

import json
from pathlib import Path

import pytest
from support.endpoint_settings import (
    NOTHING,
    SECRET_LIMITS,
    SUPPORT,
    URL,
    configured,
    endpoints,
    faults,
)
from support.endpoints import SECRET, secret_of

from app.settings import inspect, load


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_of_24_to_64_bytes_is_taken(size: int) -> None:
    """As Standard Webhooks has it."""
    environ = {"MAIL_WEBHOOK_URL": URL, "MAIL_WEBHOOK_SECRET": secret_of(size)}
    assert load(environ=environ, config=NOTHING).deliveries.endpoints[0].secrets == (
        secret_of(size),
    )


SECRETS = [
    (secret_of(23), "holds 23 bytes, not 24 to 64"),
    (secret_of(65), "holds 65 bytes, not 24 to 64"),
    ("whsec_", "holds 0 bytes, not 24 to 64"),
    (secret_of(32).rstrip("="), "is not base64 after whsec_"),
    (f"{secret_of(24)}!", "is not base64 after whsec_"),
    (f"whsec_{'ä' * 32}", "is not base64 after whsec_"),
    (secret_of(24).removeprefix("whsec_"), "does not begin with whsec_"),
    (secret_of(24).replace("whsec_", "whsk_"), "does not begin with whsec_"),
    (secret_of(24).upper(), "does not begin with whsec_"),
]


@pytest.mark.parametrize(("secret", "problem"), SECRETS)
def test_another_secret_is_refused_unseen(tmp_path: Path, secret: str, problem: str) -> None:
    """In a variable, in its file, in the configuration file, and in that of an endpoint."""
    file = tmp_path / "secret"
    file.write_text(secret, encoding="utf-8")
    by_variable = {"MAIL_WEBHOOK_URL": URL, "MAIL_WEBHOOK_SECRET": secret}
    by_file = {"MAIL_WEBHOOK_URL": URL, "MAIL_WEBHOOK_SECRET_FILE": str(file)}
    listed = configured(tmp_path, webhook_url=URL, webhook_secret=[secret_of(24), secret])
    line = f"webhook_secret: {problem} {SECRET_LIMITS}"
    assert [str(fault) for fault in inspect(environ=by_variable, config=NOTHING).errors] == [
        f"{line}; set by MAIL_WEBHOOK_SECRET"
    ]
    assert [str(fault) for fault in inspect(environ=by_file, config=NOTHING).errors] == [
        f"{line}; in {file}, see MAIL_WEBHOOK_SECRET_FILE"
    ]
    assert [str(fault) for fault in inspect(environ={}, config=listed).errors] == [
        f"webhook_secret: item 2: {problem} {SECRET_LIMITS}"
    ]
    assert faults(tmp_path, SUPPORT | {"secret_file": str(file)}) == [
        f"endpoints[0].secret_file: {file} holds a secret that {problem} {SECRET_LIMITS}"
    ]


def test_several_secrets_all_sign(tmp_path: Path) -> None:
    """Up to five, in a list or a text with commas or lines between them, and no more."""
    secrets = tuple(secret_of(24, first) for first in range(6))
    file = tmp_path / "secrets"
    file.write_text("\n".join(secrets[:5]) + "\n", encoding="utf-8-sig")
    ways: list[tuple[dict[str, str], Path]] = [
        ({"MAIL_WEBHOOK_SECRET": ", ".join(secrets[:5])}, NOTHING),
        ({"MAIL_WEBHOOK_SECRET_FILE": str(file)}, NOTHING),
        ({}, configured(tmp_path, webhook_secret=secrets[:5])),
    ]
    for environ, config in ways:
        given = environ | {"MAIL_WEBHOOK_URL": URL}
        assert load(environ=given, config=config).deliveries.endpoints[0].secrets == secrets[:5]
    config = configured(tmp_path, webhook_url=URL, webhook_secret=secrets)
    [fault] = inspect(environ={}, config=config).errors
    assert str(fault) == f"webhook_secret: has more than 5 items {SECRET_LIMITS}"


def test_the_secrets_of_an_endpoint_are_in_files(tmp_path: Path) -> None:
    """One file or several, each with one secret or several; white space is removed."""
    for number in range(3):
        (tmp_path / str(number)).write_text(f"\ufeff \n{secret_of(24, number)}\r\n\n")
    (tmp_path / "two").write_text(f"{secret_of(24, 3)}, {secret_of(24, 4)}")
    files = [str(tmp_path / name) for name in ("0", "1", "2", "two")]
    one, all_of_them = endpoints(
        tmp_path,
        {"name": "a", "url": URL, "secret_file": files[1]},
        {"name": "b", "url": URL, "secret_file": files},
    )
    assert one.secrets == (secret_of(24, 1),)
    assert all_of_them.secrets == tuple(secret_of(24, number) for number in range(5))
    too_many = SUPPORT | {"secret_file": [*files, files[0]]}
    assert faults(tmp_path, too_many) == [
        "endpoints[0].secret_file: names 6 secrets (allowed: up to 5)"
    ]


def test_a_secret_file_must_be_there_and_hold_one(tmp_path: Path) -> None:
    """Each of them is named with its path, in the endpoint that it is about."""
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    paths = [tmp_path / name for name in ("missing", "empty", "binary", "")]
    given = [
        {"name": str(number), "url": URL, "secret_file": str(path)}
        for number, path in enumerate(paths)
    ]
    assert faults(tmp_path, *given) == [
        f"endpoints[0].secret_file: {paths[0]} does not exist",
        f"endpoints[1].secret_file: {paths[1]} is empty",
        f"endpoints[2].secret_file: {paths[2]} is not UTF-8 text",
        f"endpoints[3].secret_file: {tmp_path} can't be read: Is a directory",
    ]
    [fault] = faults(tmp_path, SUPPORT | {"secret_file": ""})
    assert fault.startswith('endpoints[0].secret_file: "" is shorter than 1 character')
    [fault] = faults(tmp_path, SUPPORT | {"secret_file": []})
    assert fault.startswith("endpoints[0].secret_file: [] is an empty list")


def test_a_secret_file_may_be_below_the_home_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As every path of a configuration, or relative to the working directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret").write_text(SECRET)
    for path in ("~/secret", "secret"):
        assert endpoints(tmp_path, SUPPORT | {"secret_file": path})[0].secrets == (SECRET,)


def test_a_secret_in_the_place_of_its_file_is_not_shown(tmp_path: Path) -> None:
    """Neither in the fault, nor in the values; a member with another name is left out there."""
    given = SUPPORT | {"secret_file": SECRET, "secret": SECRET, SECRET: 1, "recipients": [SECRET]}
    inspection = inspect(None, {}, configured(tmp_path, endpoints=[given]))
    shown = f"{inspection}{json.dumps(inspection.values)}{[str(e) for e in inspection.errors]}"
    assert SECRET not in shown
    assert SECRET.removeprefix("whsec_") not in shown
    assert (
        "endpoints[0].secret_file: is a secret (allowed: the path of a file that contains it)"
        in [str(fault) for fault in inspection.errors]
    )


def test_a_secret_without_its_url_is_a_fault() -> None:
    """It would sign nothing."""
    [fault] = inspect(environ={"MAIL_WEBHOOK_SECRET": SECRET}, config=NOTHING).errors
    assert str(fault) == (
        "webhook_secret: is set without webhook_url (allowed: with webhook_url);"
        " set by MAIL_WEBHOOK_SECRET"
    )
