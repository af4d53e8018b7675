"""Checks the certificates and keys of endpoints."""

import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.settings.fault import Fault
from app.settings.files import UnreadableFile, absolute_path, read_bytes

_MEMBERS = ("ca_file", "client_cert_file", "client_key_file")


def certificate_faults(place: str, given: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the faults of an endpoint's files, whose paths in `given` are texts."""
    files = {name: absolute_path(given[name]) for name in _MEMBERS if name in given}
    unreadable = dict(_unreadable(files))
    yield from (Fault(f"{place}.{name}", reason) for name, reason in unreadable.items())
    if "client_key_file" in files and "client_cert_file" not in files:
        alone = "is set without client_cert_file (allowed: with client_cert_file)"
        yield Fault(f"{place}.client_key_file", alone)
    if unreadable:
        return
    if "ca_file" in files:
        yield from _authorities(f"{place}.ca_file", files["ca_file"])
    if "client_cert_file" in files:
        key = files.get("client_key_file")
        yield from _client(f"{place}.client_cert_file", files["client_cert_file"], key)


def _unreadable(files: Mapping[str, Path]) -> Iterator[tuple[str, str]]:
    for name, file in files.items():
        try:
            read_bytes(file)
        except UnreadableFile as error:
            yield name, f"{file} {error}"


def _authorities(place: str, file: Path) -> Iterator[Fault]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except OSError:  # ssl.SSLError is one
        yield Fault(place, f"{file} holds no certificate in PEM format")


def _client(place: str, certificate: Path, key: Path | None) -> Iterator[Fault]:
    try:
        # With an empty password, an encrypted key fails instead of prompting at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(certificate, key, password="")
    except OSError as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            yield Fault(place, f"{certificate} does not belong to the key in {key or certificate}")
            return
        what = f"{certificate}, with its key in {key or 'the same file'}, can't be used"
        yield Fault(place, f"{what} (allowed: PEM, with an unencrypted key)")
