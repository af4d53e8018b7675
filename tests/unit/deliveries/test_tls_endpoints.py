"""TLS is always verified, and a handshake ends in time, too."""

import ssl
import time
import warnings
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority, Certificate
from support.endpoint_server import OK, EndpointServer, Treat, Visit, healthy
from support.sending import NOW, PAYLOAD, sender_to

from app.deliveries.outcome import Outcome, OutcomeKind, Reason

NAME = "app.example"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Return the one that endpoints trust."""
    return Authority(tmp_path_factory.mktemp("pki") / "ca")


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> Certificate:
    """Return that of app.example."""
    return authority.issue(NAME)


def sent(server: EndpointServer, host: str = NAME, **changes: Any) -> Outcome:
    """Return what comes of an attempt with `host`, which is this server."""
    url = server.url(host).replace("http:", "https:")
    with sender_to(url, lambda _: ["127.0.0.1"], **changes) as sender:
        return sender.send("msg_1", PAYLOAD, NOW)


def test_a_valid_certificate(authority: Authority, certificate: Certificate) -> None:
    """It is for the name that is in the URL, by an authority in ca_file; connections are kept."""
    with EndpointServer(healthy, certificate.server_context()) as server:
        url = server.url(NAME)
        with sender_to(url, lambda _: ["127.0.0.1"], ca_file=authority.file) as sender:
            for _ in range(3):
                assert sender.send("msg_1", PAYLOAD, NOW).kind is OutcomeKind.DELIVERED
        assert server.visits == 1


def test_certificates_that_are_not(authority: Authority, tmp_path: Path) -> None:
    """An attempt ends before anything of the message is sent, and says what is wrong."""
    other = Authority(tmp_path / "other")
    bad = {
        "certificate has expired": authority.issue(NAME, days=-1),
        "Hostname mismatch": authority.issue("other.example"),
        "unable to get local issuer certificate": other.issue(NAME),
    }
    for text, certificate in bad.items():
        with EndpointServer(healthy, certificate.server_context()) as server:
            outcome = sent(server, ca_file=authority.file)
            assert outcome.reason is Reason.TLS_FAILED
            assert text in str(outcome.attempt.error)
            assert server.received == []


def test_the_system_does_not_trust_it(certificate: Certificate) -> None:
    """Without ca_file the authorities are those of the system."""
    with EndpointServer(healthy, certificate.server_context()) as server:
        assert sent(server).reason is Reason.TLS_FAILED


def test_a_reset_before_the_handshake(
    authority: Authority, certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It can arrive while the socket is being wrapped, which is no other outcome."""

    def is_reset(*_: object, **__: object) -> ssl.SSLSocket:
        raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", is_reset)
    with EndpointServer(healthy, certificate.server_context()) as server:
        assert sent(server, ca_file=authority.file).reason is Reason.TLS_FAILED


def test_old_versions_are_refused(authority: Authority, certificate: Certificate) -> None:
    """TLS 1.1 is one."""
    context = certificate.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with EndpointServer(healthy, context) as server:
        outcome = sent(server, ca_file=authority.file)
        assert outcome.reason is Reason.TLS_FAILED
        assert "version" in str(outcome.attempt.error)


def hangs(visit: Visit) -> None:
    visit.hang()


def drips(visit: Visit) -> None:
    visit.drip(b"\x16\x03\x03\x40\x00" + bytes(16384))


def closes(visit: Visit) -> None:
    visit.connected.recv(1000)


def speaks_http(visit: Visit) -> None:
    visit.connected.recv(1000)
    visit.send(OK)


@pytest.mark.parametrize(
    ("treat", "reason"),
    [
        (hangs, Reason.TIMEOUT),
        (drips, Reason.TIMEOUT),
        (closes, Reason.TLS_FAILED),
        (speaks_http, Reason.TLS_FAILED),
    ],
)
def test_handshakes_that_do_not_end_well(treat: Treat, reason: Reason) -> None:
    """Each ends in time."""
    with EndpointServer(treat) as server:
        began = time.monotonic()
        assert sent(server).reason is reason
        assert time.monotonic() - began < 3


def test_what_came_before_a_handshake_counts() -> None:
    """The timeout is that of the whole attempt."""

    def look_up(_: str) -> list[str]:
        time.sleep(1.8)
        return ["127.0.0.1"]

    with EndpointServer(hangs) as server:
        began = time.monotonic()
        url = server.url(NAME).replace("http:", "https:")
        with sender_to(url, look_up, timeout=2) as sender:
            assert sender.send("msg_1", PAYLOAD, NOW).reason is Reason.TIMEOUT
        assert time.monotonic() - began < 3.5


def test_a_client_certificate_is_shown(authority: Authority, certificate: Certificate) -> None:
    """An endpoint that asks for one accepts it, and nobody without."""
    context = certificate.server_context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.file)
    client = authority.issue("gomail.example")
    files: dict[str, Any] = {"client_cert_file": client.chain, "client_key_file": client.key}
    with EndpointServer(healthy, context) as server:
        outcome = sent(server, ca_file=authority.file, **files)
        assert outcome.kind is OutcomeKind.DELIVERED
        outcome = sent(server, ca_file=authority.file)
        assert outcome.reason in {Reason.TLS_FAILED, Reason.CONNECTION_CLOSED}


def test_one_file_can_hold_both(
    authority: Authority, certificate: Certificate, tmp_path: Path
) -> None:
    """The certificate and its key."""
    client = authority.issue("gomail.example")
    both = tmp_path / "both.pem"
    both.write_bytes(client.chain.read_bytes() + client.key.read_bytes())
    with EndpointServer(healthy, certificate.server_context()) as server:
        outcome = sent(server, ca_file=authority.file, client_cert_file=both)
        assert outcome.kind is OutcomeKind.DELIVERED


def test_files_that_can_not_be_used(certificate: Certificate, tmp_path: Path) -> None:
    """The attempt says which; no connection is made, and no password asked for."""
    nothing = tmp_path / "nothing.pem"
    with EndpointServer(healthy) as server:
        unusable: list[dict[str, Any]] = [
            {"ca_file": nothing},
            {"ca_file": certificate.key},
            {"client_cert_file": nothing},
            {"client_cert_file": certificate.chain, "client_key_file": certificate.chain},
            {"client_cert_file": certificate.chain, "client_key_file": certificate.encrypted_key()},
        ]
        for changes in unusable:
            outcome = sent(server, **changes)
            assert outcome.reason is Reason.TLS_FILES_UNUSABLE
            assert next(iter(changes)) in str(outcome.attempt.error)
            assert str(tmp_path) not in str(outcome.attempt.error)
        assert server.visits == 0


def test_files_that_are_replaced_are_read_again(
    authority: Authority, certificate: Certificate, tmp_path: Path
) -> None:
    """When TLS has failed: a renewed certificate doesn't need a reload."""
    file = tmp_path / "ca.pem"
    file.write_bytes(Authority(tmp_path / "old").file.read_bytes())
    with EndpointServer(healthy, certificate.server_context()) as server:
        url = server.url(NAME)
        with sender_to(url, lambda _: ["127.0.0.1"], ca_file=file) as sender:
            assert sender.send("msg_1", PAYLOAD, NOW).reason is Reason.TLS_FAILED
            file.write_bytes(authority.file.read_bytes())
            assert sender.send("msg_1", PAYLOAD, NOW).kind is OutcomeKind.DELIVERED


def test_an_address_has_to_be_in_the_certificate(
    authority: Authority, certificate: Certificate
) -> None:
    """When it stands in the URL instead of a name."""
    with EndpointServer(healthy, certificate.server_context()) as server:
        outcome = sent(server, "127.0.0.1", ca_file=authority.file)
    assert outcome.reason is Reason.TLS_FAILED
    assert "IP address mismatch" in str(outcome.attempt.error)
