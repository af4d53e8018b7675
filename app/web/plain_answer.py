"""An answer that is sent as it is."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Response

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class PlainAnswer(Response):
    """An answer with content to a request that isn't HEAD, without Location and `call_on_close`.

    Werkzeug copies the headers of all others and looks through them, which takes 100 calls more.
    """

    def __call__(
        self,
        environ: "WSGIEnvironment",  # noqa: ARG002 -- as Werkzeug calls it
        start_response: "StartResponse",
    ) -> Iterable[bytes]:
        """Answer; see PEP 3333."""
        start_response(self.status, self.headers.to_wsgi_list())
        return self.response  # type: ignore[return-value] # bytes, after a text was given
