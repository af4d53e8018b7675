"""From its answer on, a client has write_timeout to take it."""

from flask import Flask, Response

from app.web.request_context import current_request, current_services


def register(app: Flask) -> None:
    """Begin the time for taking the answer, once there is one."""
    app.after_request(_begin)


def _begin(answer: Response) -> Response:
    deadline = current_request().deadline
    if deadline is not None:
        deadline.answer_within(current_services().write_timeout)
    return answer
