"""Headers that keep other sites away from the inbox page, on each of its answers."""

from flask import Request, Response

from app.web.request_context import RequestContext

PAGE_POLICY = "; ".join(
    [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "frame-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    ]
)
"""The Content-Security-Policy of pages; an answer that has one of its own keeps it."""

_HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # With no-referrer, browsers would send "Origin: null" with forms.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


def add_page_headers(context: RequestContext, request: Request, answer: Response) -> None:
    """Add them to an answer that is about the inbox page.

    Not on the blueprint, so that it includes answers when no method matches.
    """
    if not context.is_page and request.blueprint != "inbox":
        return
    answer.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if not context.is_public:
        answer.headers["Cache-Control"] = "no-store"  # else Back shows mail after a logout
