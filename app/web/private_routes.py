"""What the routes that need an api_token have in common: checks of the request, and caching."""

from urllib.parse import unquote_to_bytes

from flask import Blueprint, Response, request

from app.auth.tokens import TokenKind
from app.errors import BadRequest
from app.web.request_context import RequestContext

_WITHOUT_BODY = {"GET", "HEAD", "DELETE"}


def private_blueprint(name: str) -> Blueprint:
    """Return a blueprint that refuses a query string not in UTF-8, and a body that is ignored."""
    blueprint = Blueprint(name, __name__)
    blueprint.before_request(check_request)
    return blueprint


def refuse_body() -> None:
    """Raise BadRequest for a body, which would be ignored."""
    if request.content_length or "Transfer-Encoding" in request.headers:
        raise BadRequest(
            f"{request.method} takes no body here: put parameters in the query string."
        )


def check_request() -> None:
    """Raise BadRequest for a query string that is not UTF-8, or a body that is ignored."""
    try:
        unquote_to_bytes(request.query_string).decode()
    except UnicodeDecodeError as error:
        raise BadRequest("The query string is not UTF-8.") from error
    if request.method in _WITHOUT_BODY:
        refuse_body()


def keep_private(context: RequestContext, answer: Response) -> None:
    """Forbid shared caches to store the API's answers; let the client's own revalidate them.

    Not on a blueprint, so that it includes answers when no method matches.
    """
    if context.needed_kind is TokenKind.API:
        answer.headers["Cache-Control"] = "private, no-cache"
