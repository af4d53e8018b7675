"""Sets up TLS with an endpoint: version 1.2 or later, always verified."""

import ssl

from app.deliveries.outcome import AttemptFailed, Reason
from app.settings.endpoints import Endpoint


def tls_context(endpoint: Endpoint) -> ssl.SSLContext:
    """Return the context for connections to `endpoint`; raises AttemptFailed.

    It trusts the authorities in the endpoint's `ca_file`, or those of the system without one.
    """
    try:
        context = ssl.create_default_context(cafile=endpoint.ca_file)
    except OSError as error:  # includes ssl.SSLError
        raise _unusable("ca_file", error) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if endpoint.client_cert_file is not None:
        _show(endpoint, context)
    return context


def failure_text(error: OSError) -> str:
    """Return why a handshake failed, as one line for people."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"The endpoint's certificate is not valid: {error.verify_message}."
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError):
        return f"TLS failed: {(error.reason or str(error)).replace('_', ' ').lower()}."
    return "The endpoint closed the connection during the TLS handshake."


def _show(endpoint: Endpoint, context: ssl.SSLContext) -> None:
    context.post_handshake_auth = True  # some servers require it only for some paths
    try:
        # With a password, so that OpenSSL doesn't prompt for the password of an encrypted key.
        context.load_cert_chain(
            str(endpoint.client_cert_file), endpoint.client_key_file, password=""
        )
    except (OSError, ValueError) as error:
        raise _unusable("client_cert_file or client_key_file", error) from error


def _unusable(keys: str, error: Exception) -> AttemptFailed:
    why = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return AttemptFailed(Reason.TLS_FILES_UNUSABLE, f"{keys} can't be used: {why}.")
