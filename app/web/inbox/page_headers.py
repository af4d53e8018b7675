"""Headers that keep other sites away from the inbox page, on each of its answers."""

from flask import Flask, Response, request

from app.web.request_context import current_request

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


def register(app: Flask) -> None:
    """Add these headers to the answers of `app` that are about the inbox page.

    Not on the blueprint, so that it includes answers when no method matches.
    """
    app.after_request(_add_headers)


def _add_headers(answer: Response) -> Response:
    context = current_request()
    if not context.is_page and request.blueprint != "inbox":
        return answer
    answer.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
    for name, value in _HEADERS.items():
        answer.headers.setdefault(name, value)
    if not context.is_public:
        answer.headers["Cache-Control"] = "no-store"  # else Back shows mail after a logout
    return answer
