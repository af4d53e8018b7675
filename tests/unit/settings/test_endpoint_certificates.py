"""The certificates and keys of endpoints."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.endpoint_settings import SUPPORT, configured, faults
from support.pem import CERTIFICATE, ENCRYPTED_KEY, KEY, OTHER_KEY


@pytest.mark.parametrize(
    ("certificate", "key", "problem"),
    [
        (CERTIFICATE, KEY, None),
        (CERTIFICATE + KEY, None, None),
        (KEY + CERTIFICATE, None, None),
        (CERTIFICATE, None, "{0}, with its key in the same file, can't be used"),
        (CERTIFICATE, OTHER_KEY, "{0} does not belong to the key in {1}"),
        (CERTIFICATE + OTHER_KEY, None, "{0} does not belong to the key in {0}"),
        (CERTIFICATE, ENCRYPTED_KEY, "{0}, with its key in {1}, can't be used"),
        (CERTIFICATE, CERTIFICATE, "{0}, with its key in {1}, can't be used"),
        (KEY, KEY, "{0}, with its key in {1}, can't be used"),
    ],
)
def test_a_client_certificate_fits_its_key(
    tmp_path: Path, certificate: str, key: str | None, problem: str | None
) -> None:
    """It is found out before the first delivery."""
    files = tmp_path / "client.pem", tmp_path / "client.key"
    files[0].write_text(certificate)
    given = SUPPORT | {"client_cert_file": str(files[0])}
    if key is not None:
        files[1].write_text(key)
        given["client_key_file"] = str(files[1])
    found = faults(tmp_path, given)
    assert len(found) == (problem is not None)
    if problem is not None:
        assert found[0].startswith(f"endpoints[0].client_cert_file: {problem.format(*files)}")


def test_nobody_is_asked_for_the_password_of_a_key(tmp_path: Path) -> None:
    """At a terminal, where OpenSSL would wait for somebody to type it."""
    files = tmp_path / "client.pem", tmp_path / "client.key"
    for file, text in zip(files, (CERTIFICATE, ENCRYPTED_KEY), strict=True):
        file.write_text(text)
    paths = {"client_cert_file": str(files[0]), "client_key_file": str(files[1])}
    config = configured(tmp_path, endpoints=[SUPPORT | paths])
    read = "from app.settings import inspect; print(*inspect(None, {}, Path(sys.argv[1])).errors)"
    read = f"import sys; from pathlib import Path; {read}"
    at_a_terminal = "import pty, sys; pty.spawn(sys.argv[1:])"
    command = [sys.executable, "-c", at_a_terminal, sys.executable, "-c", read, str(config)]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True, timeout=30
    )
    assert done.stdout.startswith("endpoints[0].client_cert_file: ")
    assert "pass phrase" not in done.stdout
