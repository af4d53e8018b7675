"""Who may deliver mail: any client that knows one of the bearer tokens (RFC 6750 section 2.1)."""

import hmac
from collections.abc import Sequence

from app.errors import Unauthorized


def authenticate(authorization: bytes | None, tokens: Sequence[bytes]) -> None:
    """Raise Unauthorized unless the Authorization header carries one of `tokens`.

    The time this takes doesn't reveal which token, or how much of it, was right.
    """
    if authorization is None:
        raise Unauthorized("The header 'Authorization: Bearer TOKEN' is missing.")
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() != b"bearer":
        raise Unauthorized("The Authorization header must read 'Bearer TOKEN'.")
    # Every token is compared, so that the position of the right one can't be measured.
    if not any([hmac.compare_digest(token.strip(), known) for known in tokens]):  # noqa: C419
        raise Unauthorized("The bearer token is not valid.")
