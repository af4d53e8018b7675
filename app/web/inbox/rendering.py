"""Makes the answers of the inbox page from its templates."""

from typing import Any

from flask import Response, render_template

from app.web.request_context import current_request


def render(template: str, status: int = 200, **values: Any) -> Response:
    """Return an answer with the page that `template` makes of `values`."""
    is_logged_in = current_request().token is not None
    html = render_template(f"inbox/{template}", is_logged_in=is_logged_in, **values)
    return Response(html, status=status, content_type="text/html; charset=utf-8")


def see_other(path: str) -> Response:
    """Return a redirect to another page, which the browser requests with GET.

    `path` begins with /inbox, and is ASCII without control characters.
    """
    return Response(status=303, headers={"Location": path})
