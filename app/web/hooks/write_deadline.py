"""Once the answer is ready, a client has write_timeout to read it."""

from flask import Flask, Response

from app.web.request_context import current_request, current_services


def register(app: Flask) -> None:
    """Start the time limit for reading the answer, once there is one."""
    app.after_request(_begin)


def _begin(answer: Response) -> Response:
    deadline = current_request().deadline
    if deadline is not None:
        deadline.answer_within(current_services().write_timeout)
    return answer
