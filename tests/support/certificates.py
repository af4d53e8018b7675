"""Certificates for tests, by the program openssl."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

from support.requirement import require_program

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc")
_EXTENSIONS = """\
subjectAltName=DNS:{name}
basicConstraints=critical,CA:FALSE
subjectKeyIdentifier=hash
authorityKeyIdentifier=keyid
"""


@dataclass(frozen=True)
class Certificate:
    """The files of a certificate and its key."""

    chain: Path
    key: Path

    def server_context(self) -> ssl.SSLContext:
        """Return what a server shows it with."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain, self.key)
        return context

    def encrypted_key(self) -> Path:
        """Return a file with the key, for which one needs a password."""
        encrypted = self.key.with_suffix(".encrypted")
        _openssl("ec", "-in", self.key, "-aes256", "-passout", "pass:x", "-out", encrypted)
        return encrypted


class Authority:
    """Issues certificates; `file` is its own."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True)
        self._directory = directory
        self.file = directory / "ca.pem"
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        _openssl(
            *("req", "-x509", *_NEW_KEY, "-subj", "/CN=A test", *usage),
            *("-keyout", directory / "ca.key", "-out", self.file, "-days", "2"),
        )

    def issue(self, name: str, days: int = 2) -> Certificate:
        """Return a certificate for the host `name`, which has expired if `days` is negative."""
        made = [self._directory / f"{name}{days}.{each}" for each in ("pem", "key", "csr", "ext")]
        chain, key, request, extensions = made
        extensions.write_text(_EXTENSIONS.format(name=name))
        _openssl("req", "-new", *_NEW_KEY, "-subj", "/CN=x", "-keyout", key, "-out", request)
        signer = ("-CA", self.file, "-CAkey", self._directory / "ca.key")
        _openssl(
            *("x509", "-req", "-in", request, *signer, "-days", str(days)),
            *("-extfile", extensions, "-out", chain),
        )
        return Certificate(chain, key)


def _openssl(*arguments: str | Path) -> None:
    subprocess.run([require_program("openssl"), *arguments], check=True, capture_output=True)
