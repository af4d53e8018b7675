"""Once the answer is ready, a client has write_timeout to read it."""

from app.web.request_context import RequestContext


def begin_answer(context: RequestContext, seconds: float) -> None:
    """Start the time limit for reading the answer."""
    if context.deadline is not None:
        context.deadline.answer_within(seconds)
